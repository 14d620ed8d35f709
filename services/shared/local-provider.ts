/** Values in the local identity provider's tokens, which are the same at whatever address it listens. */
export const LOCAL_ISSUER = "https://auth.strongroom.test/";
export const TENANT_AUDIENCE = "https://strongroom.test/api";
export const OPERATOR_AUDIENCE = "https://strongroom.test/control-plane";
export const ORG_CLAIM = "org_id";
export const GROUPS_CLAIM = "https://strongroom.test/groups";
