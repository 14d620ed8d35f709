# Read and write the organization's secrets; deleting is soft, and can be undone.
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

# Walk the tree; see versions and their times; keep notes on a secret, and no limits.
path "secret/metadata/*" {
  capabilities       = ["create", "read", "update", "patch", "list"]
  allowed_parameters = { "custom_metadata" = [] }
}

# Encrypt, decrypt and sign by the organization's own keys. No `create`: a key that is not there is not made.
path "transit/encrypt/+" {
  capabilities      = ["update"]
  denied_parameters = { "partial_failure_response_code" = [] }
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

# See which keys there are and their versions, never a key; check what they signed; random bytes.
path "transit/keys" {
  capabilities = ["list"]
}
path "transit/keys/+" {
  capabilities = ["read"]
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
  capabilities = ["read"]
}

# Ask what this token may do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}
