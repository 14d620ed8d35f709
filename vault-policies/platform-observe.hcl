# The control plane at an organization's Vault: compares its configuration with what it should be. Reads
# only, and nothing below secret/. (Health and seal status are open paths.)
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

# How many of the organization's people use it: numbers for each mount and no names.
path "sys/internal/counters/config" {
  capabilities = ["read"]
}
path "sys/internal/counters/activity/monthly" {
  capabilities = ["read"]
}

# Ways in beside the roles above: none, but for machines where the organization has them.
path "auth/token/roles" {
  capabilities = ["list"]
}
path "auth/token/roles/machine" {
  capabilities = ["read"]
}
path "identity/group/id" {
  capabilities = ["list"]
}
