# A worker of kind broker at the internal Vault: open data keys of its own key, one at a time, each with the context
# that it was made for; and make data keys of it, to wrap sealing keys and to seal credentials anew. No other key.
path "credential-keys/decrypt/broker" {
  capabilities       = ["update"]
  allowed_parameters = { "context" = [], "ciphertext" = [] }
}
path "credential-keys/datakey/plaintext/broker" {
  capabilities       = ["update"]
  allowed_parameters = { "context" = [] }
}

# Renew its own login, since it has no default policy.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
