import { createPublicKey } from "node:crypto";
import { type VaultClient, VaultError } from "../vault/client.ts";
import { KeyProviderError } from "./key-provider.ts";
import { type PublicJwk, type Signer, signingInput } from "./signer.ts";

const MOST_VERSIONS = 1_000;
/** The key may be rotated between two calls. */
const TRIES = 3;
const SIGNATURE = /^vault:v([1-9][0-9]{0,8}):([A-Za-z0-9_-]{86})$/;

/** The signer `transit:<key>`: a key of type `ecdsa-p256` at the internal Vault's mount `transit`. */
export function transitSigner(client: VaultClient, key: string): Signer {
  const name = `transit:${key}`;
  let newest: number | undefined;
  const call = async (operation: string, ask: () => Promise<Record<string, unknown>>) => {
    try {
      return ((await ask()).data ?? {}) as Record<string, unknown>;
    } catch (error) {
      const isForbidden = error instanceof VaultError && [400, 403, 404].includes(error.status);
      const reason = isForbidden ? "forbidden" : "unavailable";
      throw new KeyProviderError(reason, `${name}: ${operation} failed`, { cause: error });
    }
  };
  const kid = (version: number) => `${key}:${version}`;

  const publicKeys = async (): Promise<PublicJwk[]> => {
    const { keys } = await call("read", () => client.read(`transit/keys/${key}`));
    const versions = Object.entries((keys ?? {}) as Record<string, { public_key?: unknown }>)
      .map(([version, { public_key: pem }]) => ({ version: Number(version), pem }))
      .sort((a, b) => a.version - b.version)
      .slice(-MOST_VERSIONS);
    return versions.map(({ version, pem }) => ({ ...asJwk(name, pem), kid: kid(version) }));
  };

  return {
    name,
    publicKeys,
    async sign(typ, payload) {
      for (let tries = 0; tries < TRIES; tries++) {
        newest ??= versionOf((await publicKeys()).at(-1)?.kid);
        const input = signingInput({ typ, kid: kid(newest) }, payload);
        const { signature } = await call("sign", () =>
          client.write(`transit/sign/${key}`, {
            input: Buffer.from(input).toString("base64"),
            ...{ hash_algorithm: "sha2-256", marshaling_algorithm: "jws", prehashed: false },
          }),
        );
        const [, version, bytes] = SIGNATURE.exec(String(signature)) ?? [];
        if (Number(version) === newest) return `${input}.${bytes}`;
        newest = undefined;
      }
      throw new KeyProviderError("unavailable", `${name}: no signature by the key's newest version`);
    },
  };
}

const versionOf = (kid = ""): number => Number(kid.slice(kid.lastIndexOf(":") + 1));

/** A P-256 public key from PEM, as a JWK for signatures. Throws KeyProviderError. */
function asJwk(name: string, pem: unknown) {
  try {
    const jwk = createPublicKey(String(pem)).export({ format: "jwk" });
    if (jwk.crv === "P-256") return { ...jwk, use: "sig", alg: "ES256" };
  } catch {
    // Answered below.
  }
  throw new KeyProviderError("unavailable", `${name}: not a P-256 key`);
}
