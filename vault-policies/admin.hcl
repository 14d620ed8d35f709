# Full access to the organization's secrets, including permanent destruction. Nothing else: no mounts, logins,
# identities or system settings, so an organization cannot remove the platform's hooks.
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

# List the tree; set a secret's custom metadata and version limits; delete a secret with its history.
path "secret/metadata/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

# Encrypt, decrypt and sign with the organization's own keys. The first use of a name creates its key, of the default
# type; a signing key is created by name. Keys can be rotated, after which rewrapping makes sense, and old versions
# retired. No key can be exported, backed up, made exportable or deleted.
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

# List keys and their versions, never the keys themselves; verify signatures; get random bytes.
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

# The mount's settings, such as the number of versions kept.
path "secret/config" {
  capabilities = ["create", "read", "update"]
}

# Query this token's capabilities.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}
