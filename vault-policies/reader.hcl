# Read the organization's secrets.
path "secret/data/*" {
  capabilities = ["read"]
}
path "secret/subkeys/*" {
  capabilities = ["read"]
}

# Walk the tree; see versions and their times.
path "secret/metadata/*" {
  capabilities = ["read", "list"]
}

# Decrypt what the organization has encrypted: it reads.
path "transit/decrypt/+" {
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
