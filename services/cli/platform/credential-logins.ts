/** The services with a login for the mount of credentials' keys. `worker-feed` has none. */
export const CREDENTIAL_LOGINS = ["intake", "worker-integration", "worker-webhook", "worker-broker"] as const;
export type CredentialLogin = (typeof CREDENTIAL_LOGINS)[number];
