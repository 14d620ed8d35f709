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

# Ask what this token may do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
