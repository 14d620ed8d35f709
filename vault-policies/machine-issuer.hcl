# An admin's JWT is exchanged for this policy, for a minute, if the organization has machine tokens: create one with
# the token role `machine`, which allows reader or writer, for a day at most. Nothing else, not even `admin`.
path "auth/token/create/machine" {
  capabilities       = ["create", "update"]
  allowed_parameters = { "policies" = [], "ttl" = [], "display_name" = [], "meta" = [] }
}
