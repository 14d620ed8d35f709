import { OPERATOR_AUDIENCE, TENANT_AUDIENCE } from "../shared/local-provider.ts";
import { Secret } from "../shared/secret.ts";
import { Failure } from "./failure.ts";

/** The permissions that the control plane's routes require. */
export const OPERATOR_PERMISSIONS = [
  "orgs:create",
  "orgs:read",
  "orgs:delete",
  "orgs:revoke",
  "orgs:machine-tokens",
  "orgs:reassign",
  "audit:read",
];

/** The claims of a tenant's token. */
export interface TenantClaims {
  /** The identity provider's organization id, like `org_acme`. */
  org: string;
  groups?: string[];
  sub?: string;
}

/** A token for an organization's secrets, from the local identity provider at `address`. */
export async function mintTenantToken(address: string, claims: TenantClaims): Promise<Secret> {
  return await mint(address, {
    audience: TENANT_AUDIENCE,
    org_id: claims.org,
    ...(claims.groups?.length && { groups: claims.groups.join(",") }),
    sub: claims.sub ?? "local-user",
  });
}

/** A token for the control plane, from the local identity provider at `address`. */
export async function mintOperatorToken(
  address: string,
  permissions: string[] = OPERATOR_PERMISSIONS,
  sub = "local-operator",
): Promise<Secret> {
  return await mint(address, { audience: OPERATOR_AUDIENCE, permissions: permissions.join(","), sub });
}

async function mint(address: string, form: Record<string, string>): Promise<Secret> {
  let response: Response;
  try {
    response = await fetch(`${address}/token`, {
      method: "POST",
      body: new URLSearchParams({ grant_type: "client_credentials", ...form }),
      signal: AbortSignal.timeout(10_000),
    });
  } catch {
    throw new Failure(
      "unavailable",
      `The local identity provider at ${address} does not answer`,
      "Is the platform running? Start it with: strongroom up",
    );
  }
  const body = (await response.json().catch(() => ({}))) as {
    access_token?: string;
    error_description?: string;
  };
  if (!response.ok || !body.access_token) {
    throw new Failure("failure", `The local identity provider answered ${response.status}`);
  }
  return new Secret(body.access_token);
}
