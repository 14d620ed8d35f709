# An operator signed in at the internal Vault may approve maintenance of an organization's Vault, by having a
# two-minute client certificate signed for it, and set its owner. Nothing else. (Given a request and a name, the PKI
# role determines everything else.)
path "pki-platform-maintain/sign/org-client" {
  capabilities       = ["update"]
  allowed_parameters = { "csr" = [], "common_name" = [] }
}

# Read an organization's owner before changing its Vault, and assign another owner.
path "owners/data/+" {
  capabilities = ["create", "read", "update"]
}

# Sign statements of ownership, without which gateways accept no other owner. No other login may use the key.
path "transit/sign/ownership" {
  capabilities       = ["update"]
  allowed_parameters = { "input" = [], "hash_algorithm" = [], "marshaling_algorithm" = [], "prehashed" = [] }
}
