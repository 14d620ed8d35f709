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

# Ask what this token may do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
