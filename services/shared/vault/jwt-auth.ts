import type { VaultClient } from "./client.ts";
import { enableAuthMethods } from "./mounts.ts";

/** One party's JWT mount: keys belong to a mount, not to a role, so each party has a mount of its own. */
export interface JwtMount {
  /** Compared exactly with `iss`. */
  issuer: string;
  algorithms: string[];
  /** PEM; several during a key rotation. */
  keys: string[];
  roles: Record<string, JwtRole>;
}

/** Who may log in at a role of a JWT mount, and the token that they get. */
export interface JwtRole {
  audience: string;
  /** Claims that must have the value, or contain it if the claim is a list. */
  claims: Record<string, string>;
  /** The claim among them that must be a single string: otherwise Vault would accept a list that contains the value. */
  singleValued?: string;
  policy: string;
  ttlSeconds: number;
  /** Whether the token may create others. If not, it is a batch token, which Vault does not store. */
  makesTokens?: boolean;
}

/** All settings of a JWT mount at `config`, since each write replaces them all. */
export const jwtConfig = ({ issuer, algorithms, keys }: JwtMount) => ({
  jwt_validation_pubkeys: keys.map((pem) => pem.trim()).sort(),
  bound_issuer: issuer,
  jwt_supported_algs: algorithms,
  namespace_in_state: true,
});

/**
 * All settings of a role, since a write leaves unnamed settings as they are. A leeway of -1 means none: an expired JWT
 * is refused, and so is one without `exp`.
 */
export const jwtRole = (role: JwtRole) => {
  const isBatch = !role.makesTokens;
  return {
    role_type: "jwt",
    user_claim: "sub",
    user_claim_json_pointer: false,
    bound_audiences: [role.audience],
    bound_subject: "",
    bound_claims_type: "string",
    bound_claims: Object.fromEntries(Object.entries(role.claims).map(([claim, value]) => [claim, [value]])),
    // Only a string can be mapped: a list, number or object in this claim fails the login.
    claim_mappings: role.singleValued === undefined ? {} : { [role.singleValued]: "org" },
    groups_claim: "",
    clock_skew_leeway: -1,
    expiration_leeway: -1,
    not_before_leeway: -1,
    token_policies: [role.policy],
    token_no_default_policy: true,
    token_bound_cidrs: [],
    token_ttl: role.ttlSeconds,
    token_max_ttl: role.ttlSeconds,
    token_period: 0,
    token_type: isBatch ? "batch" : "service",
    token_num_uses: 0,
    token_explicit_max_ttl: isBatch ? 0 : role.ttlSeconds,
  };
};

/** Enables and configures the mounts, by path, with their roles. */
export async function configureJwtMounts(
  client: VaultClient,
  mounts: Record<string, JwtMount>,
): Promise<void> {
  await enableAuthMethods(client, Object.fromEntries(Object.keys(mounts).map((path) => [path, "jwt"])));
  const configured = Object.entries(mounts).map(async ([path, mount]) => {
    await client.write(`auth/${path}/config`, jwtConfig(mount));
    const roles = Object.entries(mount.roles);
    await Promise.all(roles.map(([name, role]) => client.write(`auth/${path}/role/${name}`, jwtRole(role))));
  });
  await Promise.all(configured);
}
