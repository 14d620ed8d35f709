# The backup job at an organization's Vault: take a snapshot, which only its own unseal key opens.
path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}
