# All permissions of the control plane's login at the internal Vault. Tests compare it with a golden file and try
# attacks by a thief of this login. It can mint any organization's unseal token, and Vault cannot limit that to one
# organization: see the threat model.

# Its database. Records change by check-and-set. KV parses a path after the policy has matched it, so no rule covers
# records of several kinds, and none has a `*`: with `%2F`, one kind could be reached as another.
path "registry/data/orgs/+" {
  capabilities = ["create", "read", "update"]
}
path "registry/data/jobs/+" {
  capabilities = ["create", "read", "update"]
}
path "registry/data/names/+" {
  capabilities = ["create", "read", "update"]
}
path "registry/data/claims/+" {
  capabilities = ["create", "read", "update"]
}
path "registry/data/idempotency/+" {
  capabilities = ["create", "read", "update"]
}
path "registry/data/revocations/+" {
  capabilities = ["create", "read", "update"]
}
path "registry/data/directory" {
  capabilities = ["create", "read", "update"]
}
path "registry/data/revocation-index" {
  capabilities = ["create", "read", "update"]
}

# List organizations, jobs and idempotency keys.
path "registry/metadata/orgs" {
  capabilities = ["list"]
}
path "registry/metadata/jobs" {
  capabilities = ["list"]
}
path "registry/metadata/idempotency" {
  capabilities = ["list"]
}

# Free a name or a claim by deleting its index record with all versions; delete old jobs and their idempotency keys.
path "registry/metadata/names/+" {
  capabilities = ["delete"]
}
path "registry/metadata/claims/+" {
  capabilities = ["delete"]
}
path "registry/metadata/jobs/+" {
  capabilities = ["delete"]
}
path "registry/metadata/idempotency/+" {
  capabilities = ["delete"]
}

# Its trail, in a separate mount: create, read and list entries. No update, no delete: entries are permanent, however
# a path is spelled.
path "trail/data/+/+" {
  capabilities = ["create", "read"]
}
path "trail/metadata" {
  capabilities = ["list"]
}
path "trail/metadata/+" {
  capabilities = ["list"]
}

# Record an organization's owner, once, and read it. No update, no delete: only an operator changes it.
path "owners/data/+" {
  capabilities = ["create", "read"]
}

# Store an organization's root token during its deployment. No update: a stored token is never overwritten.
path "root-tokens/+" {
  capabilities = ["create", "read", "delete"]
}

# Create organizations' unseal keys, and read signing keys' public keys. Only the type may be set, so no key is ever
# created exportable; creating an existing key changes nothing.
path "transit/keys/+" {
  capabilities       = ["create", "read", "update"]
  allowed_parameters = { "type" = ["aes256-gcm96"] }
}

# Retire old versions of an unseal key; never make it exportable or deletable.
path "transit/keys/+/config" {
  capabilities       = ["create", "update"]
  allowed_parameters = { "min_decryption_version" = [] }
}

# The platform's own signing keys are not organizations' keys. These paths are more specific than the two above, so
# they take precedence.
path "transit/keys/platform-observe" {
  capabilities = ["read"]
}
path "transit/keys/platform-*" {
  capabilities = ["deny"]
}
path "transit/keys/directory" {
  capabilities = ["read"]
}
path "transit/keys/directory/*" {
  capabilities = ["deny"]
}
path "transit/keys/ownership" {
  capabilities = ["deny"]
}
path "transit/keys/ownership/*" {
  capabilities = ["deny"]
}
path "transit/keys/receipts" {
  capabilities = ["deny"]
}
path "transit/keys/receipts/*" {
  capabilities = ["deny"]
}

# Mint unseal tokens with the token role, and only with the role's policy and period. The alias becomes part of a path
# in the policy `unseal`, where `*` and `+` are wildcards: `org-*` would open every organization, including future
# ones. ("***" matches any value that contains a `*`.)
path "auth/token/create/unseal" {
  capabilities        = ["create", "update"]
  required_parameters = ["entity_alias"]
  allowed_parameters  = { "entity_alias" = ["org-*"] }
  denied_parameters   = { "entity_alias" = ["***", "*+*", "*/*"] }
}

# Look up, renew and revoke unseal tokens, by accessor.
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}
path "auth/token/renew-accessor" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}

# Invalidate every unseal token of an organization at once, including unrecorded ones, by deleting the entity of their
# alias. Entity ids have no pattern, so this could invalidate any entity's tokens; it opens none.
path "sys/auth" {
  capabilities = ["read"]
}
path "identity/lookup/entity" {
  capabilities        = ["update"]
  required_parameters = ["alias_name", "alias_mount_accessor"]
  allowed_parameters  = { "alias_name" = ["org-*"], "alias_mount_accessor" = [] }
}
path "identity/entity/id/+" {
  capabilities = ["delete"]
}

# Sign organizations' server certificates, with exactly one name each; find and revoke them. (Reading a certificate by
# its serial number requires no token.)
path "pki/certs" {
  capabilities = ["list"]
}
path "pki/sign/org-vault" {
  capabilities       = ["update"]
  allowed_parameters = { "csr" = [], "common_name" = [], "ttl" = [] }
}
path "pki/revoke" {
  capabilities       = ["update"]
  allowed_parameters = { "serial_number" = [] }
}

# Sign the directory, and its own short-lived logins that read organizations' health and configuration. Client
# certificates for platform-maintain and platform-backup are signed at mounts to which it has no access.
path "transit/sign/platform-observe" {
  capabilities = ["update"]
}
path "transit/sign/directory" {
  capabilities = ["update"]
}

# Renew its own login, since it has no default policy.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
