# One organization's unseal token: its own key, named by the token's alias on the token mount, whose accessor
# takes the place of TOKEN_MOUNT. No `create`: encrypting would make a key that is missing.
path "transit/encrypt/{{identity.entity.aliases.TOKEN_MOUNT.name}}" {
  capabilities = ["update"]
}
path "transit/decrypt/{{identity.entity.aliases.TOKEN_MOUNT.name}}" {
  capabilities = ["update"]
}

# A server keeps its own token alive, and asks whether it can be: the token has no default policy.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
