# The backup job at an organization's Vault, by a client certificate from its own authority: take a snapshot, which
# only that organization's unseal key can open.
path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}
