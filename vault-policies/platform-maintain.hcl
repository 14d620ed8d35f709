# An operator repairs the configuration of an organization's Vault, for a minute. Whoever may write policies
# and logins can give itself more: this policy keeps honest hands to their work and makes any other use a
# change that the audit log names and the next comparison reports. It is not a wall, and opens the
# organization to its holder. It comes by a client certificate that an operator had signed at the internal Vault,
# no other way.

# The platform's policies.
path "sys/policies/acl" {
  capabilities = ["list"]
}
path "sys/policies/acl/+" {
  capabilities = ["create", "read", "update", "delete"]
}

# The ways in: keys, issuers, authorities, roles. Enabling a mount takes sudo.
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

# The mounts of secrets and of keys: that they are there, never what is in them.
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/mounts/secret" {
  capabilities = ["create", "update"]
}
path "sys/mounts/transit" {
  capabilities = ["create", "update"]
}

# The audit devices and the headers they record.
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

# Whether it counts its clients.
path "sys/internal/counters/config" {
  capabilities = ["read", "update"]
}

# Ways in beside the roles above: none, but for machines where the organization has them.
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

# Tokens of machines: which there are, and their end. By accessor, so no token is seen.
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}
