# What an admin's JWT is changed for, for a minute, where an organization has machine tokens: make one, by the
# token role `machine`, which gives reader or writer and no more than a day. Nothing else, not even `admin`.
path "auth/token/create/machine" {
  capabilities       = ["create", "update"]
  allowed_parameters = { "policies" = [], "ttl" = [], "display_name" = [], "meta" = [] }
}
