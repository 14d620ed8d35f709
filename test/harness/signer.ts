import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { type PublicJwk, type Signer, signingInput } from "../../services/shared/envelope/signer.ts";

/** A signer without a server: an ECDSA P-256 key of this process. */
export interface MemorySigner extends Signer {
  /** Makes a new version, by which it signs from now on. */
  rotate(): void;
  /** The JWS of any header and payload, encoded, as whoever may use the key can have it signed. */
  signInput(input: string): string;
  /** Its calls fail with this while it is set. */
  failure: Error | undefined;
}

export function memorySigner(key = "receipts"): MemorySigner {
  const versions: { publicKey: KeyObject; privateKey: KeyObject }[] = [];
  const rotate = () => void versions.push(generateKeyPairSync("ec", { namedCurve: "P-256" }));
  rotate();
  const signInput = (input: string): string => {
    const { privateKey } = versions.at(-1) as { privateKey: KeyObject };
    const signature = sign("sha256", Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return `${input}.${signature.toString("base64url")}`;
  };
  return {
    name: `memory:${key}`,
    failure: undefined,
    ...{ rotate, signInput },
    async sign(typ, payload) {
      if (this.failure) throw this.failure;
      return signInput(signingInput({ typ, kid: `${key}:${versions.length}` }, payload));
    },
    async publicKeys() {
      if (this.failure) throw this.failure;
      return versions.map(
        ({ publicKey }, index): PublicJwk => ({
          ...publicKey.export({ format: "jwk" }),
          ...{ use: "sig", alg: "ES256", kid: `${key}:${index + 1}` },
        }),
      );
    },
  };
}
