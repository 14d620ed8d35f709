# Read and write the organization's secrets; deletion is soft, and can be undone.
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

# List the tree; read versions and their times; set a secret's custom metadata, but not its limits.
path "secret/metadata/*" {
  capabilities       = ["create", "read", "update", "patch", "list"]
  allowed_parameters = { "custom_metadata" = [] }
}

# Encrypt, decrypt and sign with the organization's own keys. No `create`, so a missing key is not created.
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

# List keys and their versions, never the keys themselves; verify signatures; get random bytes.
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

# The mount's settings, such as the number of versions kept.
path "secret/config" {
  capabilities = ["read"]
}

# Query this token's capabilities.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}
