# An operator repairs the configuration of an organization's Vault, for a minute. Whoever may write policies and
# logins can escalate: this policy guards against mistakes, and makes any other use a change that the audit log records
# and the next comparison reports. It is not a security boundary: its holder can open the organization. It is granted
# only for a client certificate that an operator had signed at the internal Vault.

# The platform's policies.
path "sys/policies/acl" {
  capabilities = ["list"]
}
path "sys/policies/acl/+" {
  capabilities = ["create", "read", "update", "delete"]
}

# Auth methods: keys, issuers, authorities, roles. Enabling a mount requires sudo.
path "sys/auth" {
  capabilities = ["read"]
}
path "sys/auth/+" {
  capabilities = ["create", "update", "sudo"]
}
path "auth/+/config" {
  capabilities = ["create", "read", "update"]
}
path "auth/+/role" {
  capabilities = ["list"]
}
path "auth/+/role/+" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/+/certs" {
  capabilities = ["list"]
}
path "auth/+/certs/+" {
  capabilities = ["create", "read", "update", "delete"]
}

# The mounts of secrets and of keys: their existence, never their content.
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/mounts/secret" {
  capabilities = ["create", "update"]
}
path "sys/mounts/transit" {
  capabilities = ["create", "update"]
}

# The audit devices and the headers that they record.
path "sys/audit" {
  capabilities = ["read", "sudo"]
}
path "sys/audit/+" {
  capabilities = ["create", "update", "sudo"]
}
path "sys/config/auditing/request-headers" {
  capabilities = ["read", "sudo"]
}
path "sys/config/auditing/request-headers/+" {
  capabilities = ["create", "update", "delete", "sudo"]
}

# Whether the Vault counts its clients.
path "sys/internal/counters/config" {
  capabilities = ["read", "update"]
}

# Other ways to gain access must not exist, except machine tokens if the organization has them.
path "auth/token/roles" {
  capabilities = ["list"]
}
path "auth/token/roles/machine" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/token/roles/+" {
  capabilities = ["delete"]
}
path "identity/group/id" {
  capabilities = ["list"]
}
path "identity/group/id/+" {
  capabilities = ["delete"]
}

# List and revoke machine tokens, by accessor, so that no token is revealed.
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}
