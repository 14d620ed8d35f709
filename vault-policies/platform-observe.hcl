# The control plane at an organization's Vault compares its configuration with the desired one. Read-only, and nothing
# below secret/. (Health and seal status require no token.)
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/auth" {
  capabilities = ["read"]
}
path "sys/policies/acl" {
  capabilities = ["list"]
}
path "sys/policies/acl/+" {
  capabilities = ["read"]
}
path "auth/+/config" {
  capabilities = ["read"]
}
path "auth/+/role" {
  capabilities = ["list"]
}
path "auth/+/role/+" {
  capabilities = ["read"]
}
path "auth/+/certs" {
  capabilities = ["list"]
}
path "auth/+/certs/+" {
  capabilities = ["read"]
}

# How many clients use each mount: numbers, without names.
path "sys/internal/counters/config" {
  capabilities = ["read"]
}
path "sys/internal/counters/activity/monthly" {
  capabilities = ["read"]
}

# Other ways to gain access must not exist, except machine tokens if the organization has them.
path "auth/token/roles" {
  capabilities = ["list"]
}
path "auth/token/roles/machine" {
  capabilities = ["read"]
}
path "identity/group/id" {
  capabilities = ["list"]
}
