# One organization's unseal token may use only its own key, named by the token's alias on the token mount, whose
# accessor replaces TOKEN_MOUNT. No `create`, since encrypting would create a missing key.
path "transit/encrypt/{{identity.entity.aliases.TOKEN_MOUNT.name}}" {
  capabilities = ["update"]
}
path "transit/decrypt/{{identity.entity.aliases.TOKEN_MOUNT.name}}" {
  capabilities = ["update"]
}

# A server renews its own token, and looks up whether it is renewable: the token has no default policy.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
