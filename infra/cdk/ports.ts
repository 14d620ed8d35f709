/** Vault's API port; the gateway, which speaks that API, listens on it too. */
export const VAULT_PORT = 8200;
/** The port for traffic between the internal Vault's nodes. */
export const CLUSTER_PORT = 8201;
export const CONTROL_PLANE_PORT = 8280;
export const INTAKE_PORT = 8220;
export const BROKER_PORT = 8240;
