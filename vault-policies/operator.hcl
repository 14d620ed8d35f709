# An operator signed in at the internal Vault: may approve maintenance of an organization's Vault by signing
# a login of one minute for it, and say who owns it. Nothing else.
path "transit/sign/platform-maintain" {
  capabilities = ["update"]
}

# Read who owns an organization before changing its Vault, and give it to another owner.
path "owners/data/+" {
  capabilities = ["create", "read", "update"]
}
