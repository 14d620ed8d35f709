/** Vault's API; the gateway listens on it too, since it speaks that API. */
export const VAULT_PORT = 8200;
/** What the nodes of the internal Vault say to each other. */
export const CLUSTER_PORT = 8201;
export const CONTROL_PLANE_PORT = 8280;
