import { expect, test } from "vitest";
import type { EncryptionContext } from "../../../services/shared/envelope/context.ts";
import { EnvelopeRefused, open, seal } from "../../../services/shared/envelope/envelope.ts";
import type { KeyProvider, KeyProviderError } from "../../../services/shared/envelope/key-provider.ts";

export const CONTEXT: EncryptionContext = {
  org: "oaaaaaaaaaaaaaaa",
  credential: "mail",
  version: "1",
  purpose: "integration",
  policy: "E1Mm9vQ2-0dYVBw6vH0gGZ0YkQ7Q5oVn3bcm1qQvJ0k",
};

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What an intake and a worker hold: the same key, by their own logins. */
export interface Providers {
  intake: KeyProvider;
  worker: KeyProvider;
}

/** What both key providers keep. `other` has a key of its own. */
export function keyProviderContract(key: () => Providers, other: () => Providers): void {
  test("what the intake seals, the worker opens", async () => {
    const envelope = await seal(key().intake, CONTEXT, bytes("sk-live-canary"));
    expect(Buffer.from(envelope).includes("sk-live-canary")).toBe(false);
    expect(await open(key().worker, CONTEXT, envelope)).toEqual(bytes("sk-live-canary"));
  });

  test.each(["", "x", "y".repeat(4096), "z".repeat(1_048_576)])("any length: %#", async (text) => {
    const envelope = await seal(key().intake, CONTEXT, bytes(text));
    const opened = await open(key().worker, CONTEXT, envelope);
    expect(Buffer.from(text).equals(opened)).toBe(true);
  });

  test("each envelope has a data key of its own", async () => {
    const [one, two] = await Promise.all([
      key().intake.makeDataKey(CONTEXT),
      key().intake.makeDataKey(CONTEXT),
    ]);
    expect(one.plaintext).not.toEqual(two.plaintext);
    for (const { plaintext } of [one, two]) {
      expect(plaintext).toHaveLength(32);
      expect(plaintext.buffer.byteLength).toBe(32);
    }
  });

  test.each(Object.entries(OTHER_CONTEXTS))("another %s is refused", async (_, context) => {
    const envelope = await seal(key().intake, CONTEXT, bytes("sk-live-canary"));
    await expect(open(key().worker, context, envelope)).rejects.toThrow(EnvelopeRefused);
  });

  test.each(
    Object.entries(OTHER_CONTEXTS),
  )("at the provider itself, another %s is refused", async (_, context) => {
    const { encrypted } = await key().intake.makeDataKey(CONTEXT);
    await expect(key().worker.openDataKey(context, encrypted)).rejects.toMatchObject({ reason: "refused" });
  });

  test("another key is refused, by its name and at the provider", async () => {
    const envelope = await seal(key().intake, CONTEXT, bytes("sk-live-canary"));
    await expect(open(other().worker, CONTEXT, envelope)).rejects.toThrow(EnvelopeRefused);
    const disguised: KeyProvider = { ...other().worker, name: key().worker.name };
    const error = await open(disguised, CONTEXT, envelope).catch((error: Error) => error);
    // The emulator of KMS says that access is denied, where KMS says IncorrectKeyException.
    expect(error instanceof EnvelopeRefused || (error as KeyProviderError).reason === "forbidden").toBe(true);
  });
}

const OTHER_CONTEXTS: Record<string, EncryptionContext> = {
  org: { ...CONTEXT, org: "obbbbbbbbbbbbbbb" },
  credential: { ...CONTEXT, credential: "mail2" },
  version: { ...CONTEXT, version: "2" },
  purpose: { ...CONTEXT, purpose: "webhook" },
  policy: { ...CONTEXT, policy: "-" },
  job: { ...CONTEXT, job: "jaaaaaaaaaaaaaaaaaaaaaaaaaa" },
};
