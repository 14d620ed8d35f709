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
  capabilities = ["update"]
}

# Ask what this token may do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
