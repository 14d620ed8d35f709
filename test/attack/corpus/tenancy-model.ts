import type { ServerResponse } from "node:http";
import type { Recorded, Recorder } from "../../harness/recorder.ts";
import { compact, newPair, type SigningPair, type TestIssuer } from "../../harness/tokens.ts";

/** Numbers from 0 up to 1, the same ones for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Who an organization's members are, and whose Vault the directory says is theirs. */
export interface Tenant {
  issuer: TestIssuer;
  claim: string;
  /** Undefined while it is deleted. */
  vault: Recorder | undefined;
  /** Where the directory says that its Vault is: its own place, or by mistake or malice another's. */
  at: Recorder | undefined;
}

/** A token as it was made, so that what must come of it is known. */
export interface Made {
  text: string;
  id: string;
  tenant: Tenant;
  subject: string;
  expiresAt: number;
  pair: SigningPair;
}

/**
 * Stands where an organization's Vault would: knows which tokens it gave for whom, and tells whose session a
 * request came in. Whatever should never reach it is added to `breaches`.
 */
export function standIn(
  vault: Recorder,
  tenantOf: (vault: Recorder) => Tenant | undefined,
  breaches: string[],
): void {
  const sessions = new Map<string, { sub: string; jti: string }>();
  vault.answer = ({ method, url, headers, body }: Recorded, response) => {
    const tenant = tenantOf(vault);
    if (url === "/v1/auth/jwt/login") {
      const [, payload = ""] = String(JSON.parse(body).jwt).split(".");
      const { iss, org_id, sub, jti } = JSON.parse(Buffer.from(payload, "base64url").toString());
      const own = tenant?.issuer.issuer.issuer === iss && tenant?.claim === org_id;
      if (!own) breaches.push(`a JWT of ${org_id} of ${iss} came to ${tenant?.claim}`);
      const token = `hvb.${vault.org}.${sessions.size}`;
      sessions.set(token, { sub, jti });
      return answer(response, { auth: { client_token: token } });
    }
    const session = sessions.get(String(headers["x-vault-token"]));
    if (!session) breaches.push(`a token that is not its own came to ${tenant?.claim}`);
    return answer(response, { data: { org: vault.org, ...session, method, url } });
  };
}

function answer(response: ServerResponse, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": text.length }).end(text);
}

/** An issuer that rotates: which keys it signs with now, and which its key set has as gateways have fetched it. */
export class Rotation {
  readonly issuer: TestIssuer;
  /** By which new tokens are signed. */
  current: SigningPair;

  constructor(issuer: TestIssuer) {
    this.issuer = issuer;
    this.current = issuer.pair;
  }

  /** A new key beside the one in use, or in place of it. */
  rotate(keepOld: boolean): void {
    const next = newPair("ES256");
    this.issuer.keys = keepOld ? [this.current, next] : [next];
    this.current = next;
  }

  accepts({ pair }: Made): boolean {
    return this.issuer.keys.includes(pair);
  }

  make(tenant: Tenant, subject: string, id: string, lifetime: number, groups: string[]): Made {
    const pair = this.current;
    const claims = this.issuer.claims({
      ...{ sub: subject, jti: id, org_id: tenant.claim, [this.issuer.issuer.groupsClaim]: groups },
    });
    const expiresAt = (claims.iat as number) + lifetime;
    const text = compact({ alg: pair.alg, typ: "JWT", kid: pair.kid }, { ...claims, exp: expiresAt }, pair);
    return { text, id, tenant, subject, expiresAt, pair };
  }
}
