# An operator signed in at the internal Vault: may approve maintenance of an organization's Vault by having a
# client certificate of two minutes signed for it, and say who owns it. Nothing else. (Given a request and a name,
# the role decides all else.)
path "pki-platform-maintain/sign/org-client" {
  capabilities       = ["update"]
  allowed_parameters = { "csr" = [], "common_name" = [] }
}

# Read who owns an organization before changing its Vault, and give it to another owner.
path "owners/data/+" {
  capabilities = ["create", "read", "update"]
}

# Sign who owns it: gateways take another owner by this alone. No other login may use the key.
path "transit/sign/ownership" {
  capabilities       = ["update"]
  allowed_parameters = { "input" = [], "hash_algorithm" = [], "marshaling_algorithm" = [], "prehashed" = [] }
}
