# Read the organization's secrets.
path "secret/data/*" {
  capabilities = ["read"]
}
path "secret/subkeys/*" {
  capabilities = ["read"]
}

# List the tree; read versions and their times.
path "secret/metadata/*" {
  capabilities = ["read", "list"]
}

# Decrypt the organization's ciphertexts, which is a kind of reading.
path "transit/decrypt/+" {
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
