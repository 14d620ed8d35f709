import { randomUUID } from "node:crypto";
import { type Verification, verifyReceipts } from "../../services/cli/receipts/verify.ts";
import { exportReceipts } from "../../services/intake/receipts/read.ts";
import type { Store } from "../../services/intake/store/store.ts";
import type { Signer } from "../../services/shared/envelope/signer.ts";
import { type CheckpointKeys, readCheckpointKeys } from "../../services/shared/receipts/checkpoint-keys.ts";
import type { ExportLine } from "../../services/shared/receipts/export.ts";
import type { Completion, Intent } from "../../services/shared/receipts/receipt.ts";

/** What is about to be done with a credential, with changes. */
export const intent = (changes: Partial<Intent> = {}): Intent => ({
  id: randomUUID(),
  action: "use",
  by: { issuer: "https://issuer.example", subject: "ada", level: "writer" },
  ...{ credential: "provider", version: 1, host: "api.example.com", method: "GET" },
  ...{ pathPattern: "/v1/me", rule: "read" },
  ...changes,
});

/** What came of it, with changes. */
export const completion = (changes: Partial<Completion> = {}): Completion => ({
  ...{ outcome: "answered", status: 200, sentBytes: 120, receivedBytes: 512, ms: 31, scrubbed: 0 },
  ...changes,
});

/** The whole chain of an organization as it is exported. */
export async function exported(store: Store, org: string, now = Date.now): Promise<ExportLine[]> {
  const lines: ExportLine[] = [];
  for await (const line of exportReceipts({ store, now }, org)) lines.push(line);
  return lines;
}

export const keysOf = async (signer: Signer): Promise<CheckpointKeys> =>
  readCheckpointKeys(JSON.stringify({ keys: await signer.publicKeys() }));

/** Verifies lines that are at hand. */
export async function verified(
  lines: readonly unknown[],
  keys: CheckpointKeys,
  options: { org?: string; since?: string } = {},
): Promise<Verification> {
  async function* each() {
    yield* lines;
  }
  return verifyReceipts(each(), { keys, ...options });
}
