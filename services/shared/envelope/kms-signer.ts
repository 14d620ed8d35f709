import { createPublicKey } from "node:crypto";
import { GetPublicKeyCommand, SignCommand } from "@aws-sdk/client-kms";
import { KeyProviderError } from "./key-provider.ts";
import { type KmsOptions, kmsCaller, kmsClient } from "./kms.ts";
import { type PublicJwk, type Signer, signingInput } from "./signer.ts";

/** KMS signs no longer message. */
const MOST_INPUT_BYTES = 4_096;

/** The signer `kms:<key arn>`: an asymmetric KMS key of spec `ECC_NIST_P256`, which has one version. */
export function kmsSigner(keyArn: string, options: KmsOptions = {}): Signer {
  const name = `kms:${keyArn}`;
  const client = kmsClient(options);
  const call = kmsCaller(name);
  const kid = `${keyArn.slice(keyArn.lastIndexOf("/") + 1)}:1`;
  let known: PublicJwk | undefined;

  return {
    name,
    async sign(typ, payload) {
      const input = signingInput({ typ, kid }, payload);
      const Message = new TextEncoder().encode(input);
      if (Message.byteLength > MOST_INPUT_BYTES) throw new RangeError("a JWS by KMS has at most 4 KiB");
      const answer = await call("Sign", () =>
        client.send(
          new SignCommand({ KeyId: keyArn, Message, MessageType: "RAW", SigningAlgorithm: "ECDSA_SHA_256" }),
        ),
      );
      if (answer.KeyId !== keyArn || !answer.Signature) throw unusable(name);
      return `${input}.${rawSignature(name, answer.Signature).toString("base64url")}`;
    },
    async publicKeys() {
      if (known) return [known];
      const answer = await call("GetPublicKey", () =>
        client.send(new GetPublicKeyCommand({ KeyId: keyArn })),
      );
      // The emulator answers this call with the key's id alone.
      const isIt = [keyArn, keyArn.slice(keyArn.lastIndexOf("/") + 1)].includes(answer.KeyId ?? "");
      if (!isIt || !answer.PublicKey) throw unusable(name);
      const key = createPublicKey({ key: Buffer.from(answer.PublicKey), format: "der", type: "spki" });
      const jwk = key.export({ format: "jwk" });
      if (jwk.crv !== "P-256") throw unusable(name);
      known = { ...jwk, use: "sig", alg: "ES256", kid };
      return [known];
    },
  };
}

const unusable = (name: string) => new KeyProviderError("unavailable", `${name}: KMS's answer is not usable`);

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const HALF_BYTES = 32;

/** A signature as JWS has it, from DER: a sequence of two integers. */
function rawSignature(name: string, der: Uint8Array): Buffer {
  const raw = Buffer.alloc(2 * HALF_BYTES);
  let at = 2;
  if (der[0] !== SEQUENCE || der[1] !== der.byteLength - 2) throw unusable(name);
  for (const half of [1, 2]) {
    const length = der[at + 1] ?? 0;
    const integer = Buffer.from(der.subarray(at + 2, at + 2 + length));
    const start = integer.findIndex((byte) => byte !== 0);
    const bytes = integer.subarray(start < 0 ? integer.length : start);
    if (der[at] !== INTEGER || integer.length !== length || bytes.length > HALF_BYTES) throw unusable(name);
    bytes.copy(raw, half * HALF_BYTES - bytes.length);
    at += 2 + length;
  }
  if (at !== der.byteLength) throw unusable(name);
  return raw;
}
