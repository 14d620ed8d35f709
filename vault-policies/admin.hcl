# Everything with the organization's secrets, destroying them for good included. Nothing beside them: no
# mounts, logins, identities or system settings, so an organization cannot saw off the platform's hooks.
path "secret/data/*" {
  capabilities = ["create", "read", "update", "patch", "delete"]
}
path "secret/subkeys/*" {
  capabilities = ["read"]
}
path "secret/delete/*" {
  capabilities = ["create", "update"]
}
path "secret/undelete/*" {
  capabilities = ["create", "update"]
}
path "secret/destroy/*" {
  capabilities = ["create", "update"]
}

# Walk the tree; keep notes and version limits on a secret; delete a secret with its history.
path "secret/metadata/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

# Encrypt, decrypt and sign by the organization's own keys. The first use of a name makes its key, of the one
# usual kind; one that signs is made by its name. A key is rotated, which is what rewrapping is for, and its old
# versions are retired. No key is exported, backed up, made exportable or deleted.
path "transit/encrypt/+" {
  capabilities      = ["create", "update"]
  denied_parameters = { "partial_failure_response_code" = [], "type" = [], "convergent_encryption" = [] }
}
path "transit/decrypt/+" {
  capabilities      = ["update"]
  denied_parameters = { "partial_failure_response_code" = [] }
}
path "transit/rewrap/+" {
  capabilities      = ["update"]
  denied_parameters = { "partial_failure_response_code" = [] }
}
path "transit/datakey/wrapped/+" {
  capabilities = ["update"]
}
path "transit/hmac/+" {
  capabilities      = ["update"]
  denied_parameters = { "partial_failure_response_code" = [] }
}
path "transit/hmac/+/+" {
  capabilities      = ["update"]
  denied_parameters = { "partial_failure_response_code" = [] }
}
path "transit/sign/+" {
  capabilities      = ["update"]
  denied_parameters = { "partial_failure_response_code" = [] }
}
path "transit/sign/+/+" {
  capabilities      = ["update"]
  denied_parameters = { "partial_failure_response_code" = [] }
}
path "transit/keys/+/rotate" {
  capabilities      = ["update"]
  denied_parameters = { "*" = [] }
}

# See which keys there are and their versions, never a key; check what they signed; random bytes.
path "transit/keys" {
  capabilities = ["list"]
}
path "transit/keys/+" {
  capabilities       = ["create", "read", "update"]
  allowed_parameters = { "type" = ["aes256-gcm96", "ed25519", "ecdsa-p256"] }
}
path "transit/keys/+/config" {
  capabilities       = ["create", "update"]
  allowed_parameters = { "min_decryption_version" = [], "min_encryption_version" = [] }
}
path "transit/verify/+" {
  capabilities      = ["update"]
  denied_parameters = { "partial_failure_response_code" = [] }
}
path "transit/verify/+/+" {
  capabilities      = ["update"]
  denied_parameters = { "partial_failure_response_code" = [] }
}
path "transit/random" {
  capabilities = ["update"]
}
path "transit/random/+" {
  capabilities = ["update"]
}
path "transit/random/+/+" {
  capabilities = ["update"]
}

# How many versions are kept, and other settings of the mount.
path "secret/config" {
  capabilities = ["create", "read", "update"]
}

# Ask what this token may do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}
