# The intake at the internal Vault: make data keys, and open none. An encrypted data key comes back with its plaintext
# once, to seal one value. The mount has no other path that this policy names, so nothing can be decrypted, encrypted
# anew, exported or rotated.
path "credential-keys/datakey/plaintext/integration" {
  capabilities       = ["update"]
  allowed_parameters = { "context" = [] }
}
path "credential-keys/datakey/plaintext/webhook" {
  capabilities       = ["update"]
  allowed_parameters = { "context" = [] }
}
path "credential-keys/datakey/plaintext/broker" {
  capabilities       = ["update"]
  allowed_parameters = { "context" = [] }
}

# Sign where organizations' chains of receipts stand, and read the public keys for it. No other login may use the key.
path "transit/sign/receipts" {
  capabilities       = ["update"]
  allowed_parameters = { "input" = [], "hash_algorithm" = [], "marshaling_algorithm" = [], "prehashed" = [] }
}
path "transit/keys/receipts" {
  capabilities = ["read"]
}

# Renew its own login, since it has no default policy.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
