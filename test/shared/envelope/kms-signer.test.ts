import { generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { CreateKeyCommand, KMSClient } from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { kmsSigner } from "../../../services/shared/envelope/kms-signer.ts";
import type { Signer } from "../../../services/shared/envelope/signer.ts";
import { readCheckpoint, readCheckpointKeys } from "../../../services/shared/receipts/checkpoint-keys.ts";
import { CHECKPOINT_TYPE, chainStart } from "../../../services/shared/receipts/receipt.ts";
import { clientOf } from "../../harness/aws/cell.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";

const CHECKPOINT = { org: "o-acme", sequence: 7, hash: chainStart("x"), at: "2026-03-01T12:00:00.000Z" };
const keysOf = async (signer: Signer) =>
  readCheckpointKeys(JSON.stringify({ keys: await signer.publicKeys() }));
const kidOf = (jws: string) =>
  JSON.parse(Buffer.from(jws.split(".")[0] as string, "base64url").toString()).kid;

describe("kms", () => {
  let moto: MotoServer;
  let arn: string;
  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
    const client = new KMSClient(clientOf(moto.endpoint));
    const made = await client.send(
      new CreateKeyCommand({ KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" }),
    );
    client.destroy();
    arn = made.KeyMetadata?.Arn ?? "";
  });
  afterAll(() => moto?.stop());

  test("signs checkpoints that its public key verifies", async () => {
    const signer = kmsSigner(arn, clientOf(moto.endpoint));
    const jws = await signer.sign(CHECKPOINT_TYPE, CHECKPOINT);
    expect(kidOf(jws)).toBe(`${arn.split("/")[1]}:1`);
    expect(readCheckpoint(jws, await keysOf(signer))).toEqual(CHECKPOINT);
  });

  test("a key that is not there is a failure that may pass", async () => {
    const signer = kmsSigner(
      arn.replace(/[0-9a-f-]+$/, "00000000-0000-0000-0000-000000000000"),
      clientOf(moto.endpoint),
    );
    await expect(signer.sign(CHECKPOINT_TYPE, CHECKPOINT)).rejects.toMatchObject({ reason: "forbidden" });
  });

  /** A stand-in for KMS that answers every call with this. */
  async function answering(body: (operation: string) => object): Promise<Signer> {
    const server = createServer((request, response) => {
      const operation = String(request.headers["x-amz-target"]).split(".")[1] ?? "";
      response
        .writeHead(200, { "content-type": "application/x-amz-json-1.1" })
        .end(JSON.stringify(body(operation)));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    return kmsSigner(arn, clientOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  }

  test("signatures of every length are converted", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const lengths = new Set<number>();
    const known = readCheckpointKeys(publicKey.export({ format: "pem", type: "spki" }).toString());
    let der = Buffer.alloc(0);
    const signer = await answering(() => ({ KeyId: arn, Signature: der.toString("base64") }));
    for (let tries = 0; tries < 60; tries++) {
      const checkpoint = { ...CHECKPOINT, sequence: tries + 1 };
      der = Buffer.from([0x30, 6, 2, 1, 1, 2, 1, 1]);
      const input = (await signer.sign(CHECKPOINT_TYPE, checkpoint)).split(".").slice(0, 2).join(".");
      der = sign("sha256", Buffer.from(input), privateKey);
      lengths.add(der.length);
      expect(readCheckpoint(await signer.sign(CHECKPOINT_TYPE, checkpoint), known)).toEqual(checkpoint);
    }
    expect(lengths.size).toBeGreaterThan(1);
  });

  test.each([
    ["nothing", ""],
    ["no sequence", "31060201010201 01"],
    ["a length that is not the rest's", "3007020101020101"],
    ["one integer", "3003020101"],
    ["an integer cut off", "3006020101020501"],
    ["an integer that is too long", `3026022100${"ff".repeat(33)}020101`.replace("2100", "22")],
    ["something after the integers", "300702010102010100"],
  ])("a signature that is none is refused: %s", async (_, hex) => {
    const Signature = Buffer.from(hex.replaceAll(" ", ""), "hex").toString("base64");
    const signer = await answering(() => ({ KeyId: arn, Signature }));
    await expect(signer.sign(CHECKPOINT_TYPE, CHECKPOINT)).rejects.toMatchObject({
      name: "KeyProviderError",
    });
  });

  test("an answer by another key is refused", async () => {
    const signer = await answering(() => ({
      KeyId: `${arn}0`,
      Signature: "MAYCAQECAQE=",
      PublicKey: "MAA=",
    }));
    await expect(signer.sign(CHECKPOINT_TYPE, CHECKPOINT)).rejects.toMatchObject({ reason: "unavailable" });
    await expect(signer.publicKeys()).rejects.toMatchObject({ reason: "unavailable" });
  });
});
