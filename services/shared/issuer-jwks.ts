import { exportSPKI, importJWK, type JWK } from "jose";
import { StrongroomError } from "./errors.ts";
import { readBounded } from "./http/read-bounded.ts";
import type { Issuer } from "./org.ts";

const FETCH_TIMEOUT_MS = 5_000;
const MAX_BYTES = 256 * 1024;
const MAX_KEYS = 20;
const MIN_RSA_BITS = 2048;

/** Long enough for one reconcile pass over all organizations of an issuer to fetch its keys once. */
const REMEMBERED_MS = 5_000;

/** {@link fetchIssuerKeys} with a short cache, shared by concurrent callers. `now` is in milliseconds. */
export function rememberedIssuerKeys(now: () => number = Date.now): typeof fetchIssuerKeys {
  const fetched = new Map<string, { at: number; keys: Promise<string[]> }>();
  return (issuer) => {
    const name = `${issuer.algorithms.join()} ${issuer.jwksUri}`;
    const known = fetched.get(name);
    if (known && now() - known.at < REMEMBERED_MS) return known.keys;
    const keys = fetchIssuerKeys(issuer);
    fetched.set(name, { at: now(), keys });
    return keys;
  };
}

/** Whether a JWK can sign with an algorithm. */
const FITS: Record<Issuer["algorithms"][number], (key: JWK) => boolean> = {
  RS256: (key) => key.kty === "RSA",
  ES256: (key) => key.kty === "EC" && key.crv === "P-256",
  EdDSA: (key) => key.kty === "OKP" && key.crv === "Ed25519",
};

/**
 * The public keys (PEM) at an issuer's JWKS address that suit its algorithms. Throws `issuer_keys_unreachable` if there
 * are none or they cannot be fetched.
 */
export async function fetchIssuerKeys({ jwksUri, algorithms }: Issuer): Promise<string[]> {
  const pems = new Set<string>();
  for (const jwk of (await fetchKeySet(jwksUri)).slice(0, MAX_KEYS)) {
    const alg = algorithms.find((each) => FITS[each](jwk) && (jwk.alg ?? each) === each);
    if (!alg || (jwk.use ?? "sig") !== "sig") continue;
    const { kty, crv, n, e, x, y } = jwk;
    const key = await importJWK({ kty, crv, n, e, x, y } as JWK, alg).catch(() => undefined);
    if (!key || key instanceof Uint8Array) continue;
    const { modulusLength } = key.algorithm as { modulusLength?: number };
    if (modulusLength === undefined || modulusLength >= MIN_RSA_BITS) pems.add(await exportSPKI(key));
  }
  if (pems.size === 0) throw unreachable("the key set has no key for the issuer's algorithms");
  return [...pems].sort();
}

async function fetchKeySet(jwksUri: string): Promise<JWK[]> {
  try {
    const response = await fetch(jwksUri, {
      redirect: "error",
      signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
    });
    if (!response.ok) throw unreachable(`the address answered with status ${response.status}`);
    const { keys } = JSON.parse(await readBounded(response, MAX_BYTES)) as { keys?: unknown };
    return Array.isArray(keys) ? keys.filter((key) => typeof key === "object" && key !== null) : [];
  } catch (error) {
    if (error instanceof StrongroomError) throw error;
    throw unreachable("the address did not return a key set", error);
  }
}

const unreachable = (why: string, cause?: unknown) =>
  new StrongroomError(
    "issuer_keys_unreachable",
    `The issuer's keys cannot be fetched from its JWKS address: ${why}.`,
    {
      cause,
    },
  );
