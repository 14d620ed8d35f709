# An operator signed in at the internal Vault: may approve maintenance of an organization's Vault by signing
# a login of one minute for it, and do nothing else.
path "transit/sign/platform-maintain" {
  capabilities = ["update"]
}
