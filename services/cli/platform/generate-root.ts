import { Secret } from "../../shared/secret.ts";
import { type VaultClient, VaultError } from "../../shared/vault/client.ts";
import { Failure } from "../failure.ts";
import { AGAIN } from "./bootstrap.ts";

/**
 * Generates a root token of a Vault that has a single unseal key, with that key. The client has no token. Cancels
 * another attempt. Failure `unavailable` if the Vault does not admit attempts without a token, as of version 2.0.
 */
export async function generateRoot(open: VaultClient, unsealKey: Secret): Promise<Secret> {
  try {
    await open.delete("sys/generate-root/attempt");
    const { nonce, otp } = (await open.write("sys/generate-root/attempt")) as { nonce: string; otp: string };
    const body = await open.write("sys/generate-root/update", { nonce, key: unsealKey.reveal() });
    const encoded = Buffer.from(String(body.encoded_token), "base64");
    const pad = Buffer.from(otp);
    if (encoded.length !== pad.length) throw new Error("the generated root token does not fit its OTP");
    return new Secret(Buffer.from(encoded.map((byte, at) => byte ^ (pad[at] ?? 0))).toString());
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    throw new Failure(
      "unavailable",
      `The internal Vault was bootstrapped by an earlier version, and refused to generate a root token (${error.message})`,
      AGAIN,
    );
  }
}
