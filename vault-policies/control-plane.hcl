# The control plane's login at the internal Vault: all it may do there. Tests hold it to a golden file and
# try what a thief of this login would try. It can mint any organization's unseal token, and Vault cannot
# bind that to one organization: see the threat model.

# Its database. Records change by check-and-set. KV takes a path apart after the policy has matched it, so no
# rule spans records of several kinds, and none has a `*`: by `%2F` one kind would be reached as another.
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

# Walk organizations, jobs and idempotency keys.
path "registry/metadata/orgs" {
  capabilities = ["list"]
}
path "registry/metadata/jobs" {
  capabilities = ["list"]
}
path "registry/metadata/idempotency" {
  capabilities = ["list"]
}

# Free a name or a claim, by deleting its index record with every version; forget old jobs and their keys.
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

# Its trail, in a mount of its own: make entries, read and list them. No update, no delete: what stands there
# stands, whatever a path is spelled like.
path "trail/data/+/+" {
  capabilities = ["create", "read"]
}
path "trail/metadata" {
  capabilities = ["list"]
}
path "trail/metadata/+" {
  capabilities = ["list"]
}

# Write down who owns an organization, once, and read it. No update, no delete: changing it is an operator's.
path "owners/data/+" {
  capabilities = ["create", "read"]
}

# Keep an organization's root token while its deploy lasts. No update: one that is kept is never overwritten.
path "root-tokens/+" {
  capabilities = ["create", "read", "delete"]
}

# Create organizations' unseal keys and read signing keys' public halves. Only the type may be given, so no
# key is ever born exportable; creating a key that exists changes nothing.
path "transit/keys/+" {
  capabilities       = ["create", "read", "update"]
  allowed_parameters = { "type" = ["aes256-gcm96"] }
}

# Retire old versions of an unseal key; never make it exportable or deletable.
path "transit/keys/+/config" {
  capabilities       = ["create", "update"]
  allowed_parameters = { "min_decryption_version" = [] }
}

# The platform's own signing keys are not organizations' keys: more exact than the two above, so these win.
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

# Mint unseal tokens by the token role, with the role's policy and period and no other. The alias becomes part
# of a path in the policy `unseal`, where `*` and `+` are wildcards: `org-*` would open every organization,
# those to come included. ("***" matches what has a `*` in it.)
path "auth/token/create/unseal" {
  capabilities        = ["create", "update"]
  required_parameters = ["entity_alias"]
  allowed_parameters  = { "entity_alias" = ["org-*"] }
  denied_parameters   = { "entity_alias" = ["***", "*+*", "*/*"] }
}

# Watch, renew and end unseal tokens, by accessor.
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}
path "auth/token/renew-accessor" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}

# End every unseal token of an organization at once, the unrecorded included, by ending the entity behind
# their alias. Entities have ids and no names to go by, so this could end any entity's tokens; it opens none.
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

# Sign organizations' server certificates, with exactly one name each, find and revoke them. (Any certificate
# by its serial is an open path.)
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

# Sign its own short logins for reading organizations' health and configuration, and the directory.
# Client certificates for platform-maintain and platform-backup are signed at mounts that it has no path to.
path "transit/sign/platform-observe" {
  capabilities = ["update"]
}
path "transit/sign/directory" {
  capabilities = ["update"]
}

# Keep its own login alive: it has no default policy.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
