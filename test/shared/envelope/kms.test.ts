import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { kmsKeyProvider } from "../../../services/shared/envelope/kms.ts";
import { clientOf, makeKey } from "../../harness/aws/cell.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";
import { CONTEXT, keyProviderContract } from "./contract.ts";

/*
 * The emulator judges no permissions, and makes its additional data by joining the context's names and values, so that
 * {"a":"bc"} equals {"ab":"c"}. So these tests prove what goes over the wire and what comes of KMS's answers, and not
 * that KMS binds the context or that a role may not decrypt.
 */

let moto: MotoServer;
let key: string;
let otherKey: string;
beforeAll(async () => {
  moto = await startMoto(inject("moto"));
  key = await makeKey(moto.endpoint);
  otherKey = await makeKey(moto.endpoint);
});
afterAll(() => moto?.stop());

const provider = (arn: string) => kmsKeyProvider(arn, clientOf(moto.endpoint));

keyProviderContract(
  () => ({ intake: provider(key), worker: provider(key) }),
  () => ({ intake: provider(otherKey), worker: provider(otherKey) }),
);

test("the context goes to KMS as its encryption context, with the key's ARN, in both calls", async () => {
  const seen: Record<string, unknown>[] = [];
  const front = await answering((operation, body) => {
    seen.push({ operation, ...body });
    return { status: 200, body: {} };
  });
  try {
    const asked = kmsKeyProvider(key, clientOf(front.endpoint));
    await expect(asked.makeDataKey(CONTEXT)).rejects.toMatchObject({ reason: "unavailable" });
    await expect(asked.openDataKey(CONTEXT, new Uint8Array([1, 2, 3]))).rejects.toMatchObject({
      reason: "unavailable",
    });
    expect(seen).toEqual([
      { operation: "GenerateDataKey", KeyId: key, EncryptionContext: { ...CONTEXT }, KeySpec: "AES_256" },
      { operation: "Decrypt", KeyId: key, EncryptionContext: { ...CONTEXT }, CiphertextBlob: "AQID" },
    ]);
  } finally {
    await front.close();
  }
});

describe("KMS's answers", () => {
  test.each([
    [400, "InvalidCiphertextException", "refused"],
    [400, "IncorrectKeyException", "refused"],
    [400, "AccessDeniedException", "forbidden"],
    [400, "DisabledException", "forbidden"],
    [400, "NotFoundException", "forbidden"],
    [400, "ThrottlingException", "unavailable"],
    [500, "KMSInternalException", "unavailable"],
    [503, "SomethingNew", "unavailable"],
  ])("%i %s is %s, and no error repeats the request or KMS's words", async (status, code, reason) => {
    const front = await answering(() => ({ status, body: { __type: code, message: "canary-words" } }));
    try {
      const asked = kmsKeyProvider(key, clientOf(front.endpoint));
      const error = await asked.openDataKey(CONTEXT, new Uint8Array(40)).catch((error: Error) => error);
      expect(error).toMatchObject({ name: "KeyProviderError", reason });
      const text = inspect(error, { depth: 10, showHidden: true });
      expect(text).toContain(code);
      expect(text).not.toContain("canary-words");
      expect(text).not.toContain(CONTEXT.org);
    } finally {
      await front.close();
    }
  });

  test.each([
    ["another key's", { KeyId: "arn:aws:kms:eu-central-1:123456789012:key/other" }],
    ["too short a", { Plaintext: Buffer.alloc(16).toString("base64") }],
    ["no", { Plaintext: undefined }],
  ])("with %s data key is not used", async (_, changes) => {
    const answer = {
      KeyId: key,
      Plaintext: Buffer.alloc(32, 1).toString("base64"),
      CiphertextBlob: "AQID",
    };
    const front = await answering(() => ({ status: 200, body: { ...answer, ...changes } }));
    try {
      const asked = kmsKeyProvider(key, clientOf(front.endpoint));
      await expect(asked.makeDataKey(CONTEXT)).rejects.toMatchObject({ reason: "unavailable" });
      await expect(asked.openDataKey(CONTEXT, new Uint8Array(40))).rejects.toMatchObject({
        reason: "unavailable",
      });
    } finally {
      await front.close();
    }
  });

  test("that never come are unavailable, in bounded time", async () => {
    const front = await answering(() => undefined);
    try {
      const asked = kmsKeyProvider(key, { ...clientOf(front.endpoint), requestTimeoutMs: 100 });
      await expect(asked.makeDataKey(CONTEXT)).rejects.toMatchObject({ reason: "unavailable" });
    } finally {
      await front.close();
    }
    const gone = kmsKeyProvider(key, clientOf(front.endpoint));
    await expect(gone.makeDataKey(CONTEXT)).rejects.toMatchObject({ reason: "unavailable" });
  });
});

/** A KMS on loopback that answers as told; undefined is no answer. */
async function answering(
  answer: (operation: string, body: object) => { status: number; body: object } | undefined,
) {
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
    request.once("end", () => {
      const operation = String(request.headers["x-amz-target"]).replace("TrentService.", "");
      const told = answer(operation, JSON.parse(text));
      if (!told) return;
      response.writeHead(told.status, {
        "content-type": "application/x-amz-json-1.1",
        "x-amzn-requestid": "r-1",
      });
      response.end(JSON.stringify(told.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
