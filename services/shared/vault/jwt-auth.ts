import type { VaultClient } from "./client.ts";
import { enableAuthMethods } from "./mounts.ts";

/** One party's way in: keys belong to a JWT mount, not to a role, so each party has a mount of its own. */
export interface JwtMount {
  /** Compared exactly with `iss`. */
  issuer: string;
  algorithms: string[];
  /** PEM; several while a key is being changed. */
  keys: string[];
  roles: Record<string, JwtRole>;
}

/** Who may log in at a role of a JWT mount, and what the token is that they get. */
export interface JwtRole {
  audience: string;
  /** Claims that must hold the value, or, where the claim is a list, have it among theirs. */
  claims: Record<string, string>;
  /** The claim among them that must be one string: Vault would else take a list that holds the value. */
  singleValued?: string;
  policy: string;
  ttlSeconds: number;
  /** Whether the token may make others. One that may not is a batch token: nothing is stored. */
  makesTokens?: boolean;
}

/** What a JWT mount is told at `config`; all of it, since each write replaces the whole. */
export const jwtConfig = ({ issuer, algorithms, keys }: JwtMount) => ({
  jwt_validation_pubkeys: keys.map((pem) => pem.trim()).sort(),
  bound_issuer: issuer,
  jwt_supported_algs: algorithms,
  namespace_in_state: true,
});

/**
 * What a role is told; all of it, since a write leaves what it does not name. The leeways of -1 are none: an
 * expired JWT is expired, and one without `exp` is refused.
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
    // Only a string can be mapped: a list, number or object in this claim ends the login.
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
