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

# Encrypt and decrypt by the organization's own keys. The first use of a name makes its key, of the one usual
# kind; a key is rotated, which is what rewrapping is for. No key is read, exported, configured or deleted.
path "transit/encrypt/+" {
  capabilities      = ["create", "update"]
  denied_parameters = { "type" = [], "convergent_encryption" = [] }
}
path "transit/decrypt/+" {
  capabilities = ["update"]
}
path "transit/rewrap/+" {
  capabilities = ["update"]
}
path "transit/keys/+/rotate" {
  capabilities      = ["update"]
  denied_parameters = { "*" = [] }
}

# Ask what this token may do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
