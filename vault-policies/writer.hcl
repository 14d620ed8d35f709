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

# Walk the tree; see versions and their times.
path "secret/metadata/*" {
  capabilities = ["read", "list"]
}

# Encrypt and decrypt by the organization's own keys. No `create`: a key that is not there is not made.
path "transit/encrypt/+" {
  capabilities = ["update"]
}
path "transit/decrypt/+" {
  capabilities = ["update"]
}
path "transit/rewrap/+" {
  capabilities = ["update"]
}

# Ask what this token may do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
