# The backup job at an organization's Vault, by a client certificate of its own authority: take a snapshot, which only its own unseal key opens.
path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}
