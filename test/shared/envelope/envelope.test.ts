import { buildEncrypt } from "@aws-crypto/encrypt-node";
import {
  AlgorithmSuiteIdentifier,
  CommitmentPolicy,
  EncryptedDataKey,
  KeyringTraceFlag,
} from "@aws-crypto/material-management-node";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contextMembers } from "../../../services/shared/envelope/context.ts";
import {
  EnvelopeRefused,
  MAX_PLAINTEXT_BYTES,
  open,
  seal,
} from "../../../services/shared/envelope/envelope.ts";
import { KeyProviderError } from "../../../services/shared/envelope/key-provider.ts";
import { ProviderKeyring } from "../../../services/shared/envelope/keyring.ts";
import { memoryKeyProvider } from "../../harness/key-provider.ts";
import { bytes, CONTEXT } from "./contract.ts";

const SECRET = bytes("sk-live-canary");
const provider = memoryKeyProvider("transit:integration");
const envelope = await seal(provider, CONTEXT, SECRET);

/** Where an encrypted data key of 60 bytes begins. */
const keyAt = 37 + 2 + memberBytes() + 2 + 2 + "strongroom".length + 2 + provider.name.length + 2;
function memberBytes(): number {
  return Object.entries(contextMembers(CONTEXT)).reduce(
    (sum, [name, value]) => sum + 4 + name.length + value.length,
    0,
  );
}

const refuses = async (changed: Uint8Array) =>
  expect(open(provider, CONTEXT, changed)).rejects.toBeInstanceOf(EnvelopeRefused);

test("an envelope is 150 bytes longer than its parts", async () => {
  const { encrypted } = await provider.makeDataKey(CONTEXT);
  expect(envelope.byteLength).toBe(
    150 + SECRET.byteLength + memberBytes() + provider.name.length + encrypted.byteLength,
  );
});

test("the message has the committed suite without a signature, and the context in clear", () => {
  expect([...envelope.subarray(0, 3)]).toEqual([2, 0x04, 0x78]);
  for (const value of Object.values(contextMembers(CONTEXT))) {
    expect(Buffer.from(envelope).includes(value)).toBe(true);
  }
  expect(Buffer.from(envelope).includes(Buffer.from(SECRET))).toBe(false);
});

test("an envelope that was sealed by the first version opens", async () => {
  const fixed = memoryKeyProvider("transit:integration", new Uint8Array(32).fill(7));
  expect(await open(fixed, CONTEXT, Buffer.from(FIRST, "base64"))).toEqual(SECRET);
});

describe("a changed envelope is refused", () => {
  test("with any byte changed", async () => {
    for (let at = 0; at < envelope.byteLength; at++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        const changed = envelope.slice();
        changed[at] = (changed[at] ?? 0) ^ mask;
        await refuses(changed);
      }
    }
  });

  test("cut off anywhere, and continued by anything", async () => {
    for (let length = 0; length < envelope.byteLength; length++) await refuses(envelope.slice(0, length));
    for (const more of [1, 16, 40, 5_000]) {
      await refuses(Buffer.concat([envelope, Buffer.alloc(more)]));
      await refuses(Buffer.concat([envelope, envelope.subarray(0, more)]));
    }
  });

  test("with parts of it removed, repeated, moved or replaced", async () => {
    const place = fc.nat(envelope.byteLength);
    await fc.assert(
      fc.asyncProperty(place, place, place, fc.uint8Array({ maxLength: 40 }), async (one, other, to, put) => {
        const [from, until] = one < other ? [one, other] : [other, one];
        const rest = Buffer.concat([envelope.subarray(0, from), envelope.subarray(until)]);
        const part = envelope.subarray(from, until);
        const at = Math.min(to, rest.byteLength);
        for (const changed of [
          rest,
          Buffer.concat([envelope.subarray(0, until), part, envelope.subarray(until)]),
          Buffer.concat([rest.subarray(0, at), part, rest.subarray(at)]),
          Buffer.concat([envelope.subarray(0, from), put, envelope.subarray(until)]),
        ]) {
          if (!changed.equals(envelope)) await refuses(changed);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("that is no envelope at all", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), async (random) => {
        await refuses(random);
      }),
      { numRuns: 200 },
    );
    await refuses(bytes(Buffer.from(envelope).toString("base64")));
  });

  test("that is too long, before it is read", async () => {
    const { opened } = provider;
    await refuses(Buffer.concat([envelope, new Uint8Array(MAX_PLAINTEXT_BYTES + 8_192)]));
    expect(provider.opened).toBe(opened);
  });
});

describe("a data key of another envelope", () => {
  test("does not open this one: the commitment differs, though context and key are right", async () => {
    const other = await seal(provider, CONTEXT, bytes("another secret"));
    const swapped = envelope.slice();
    const key = other.subarray(keyAt, keyAt + 60);
    expect(await provider.openDataKey(CONTEXT, key)).toHaveLength(32);
    swapped.set(key, keyAt);
    await refuses(swapped);
  });

  test("does not open this one if the provider gives another key", async () => {
    const lying = { ...provider, openDataKey: async () => new Uint8Array(32) };
    await expect(open(lying, CONTEXT, envelope)).rejects.toThrow(EnvelopeRefused);
  });
});

describe("of what is not ours, the provider is not asked to open the data key", () => {
  const cases: [string, () => Promise<Uint8Array>][] = [
    [
      "an uncommitted suite",
      () => foreign("ALG_AES256_GCM_IV12_TAG16_HKDF_SHA256", "FORBID_ENCRYPT_ALLOW_DECRYPT"),
    ],
    [
      "a suite with a signature",
      () => foreign("ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384"),
    ],
    ["two data keys", () => foreign("ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY", undefined, 2)],
    ["another credential", () => seal(provider, { ...CONTEXT, credential: "other" }, SECRET)],
    ["a context with one more member", () => seal(provider, { ...CONTEXT, job: "j" }, SECRET)],
    ["another key's name", () => seal({ ...provider, name: "transit:webhook" }, CONTEXT, SECRET)],
  ];
  test.each(cases)("%s", async (_, make) => {
    const message = await make();
    const { opened } = provider;
    await refuses(message);
    expect(provider.opened).toBe(opened);
  });

  /** A message of the same library and provider, with other settings. */
  async function foreign(
    suite: keyof typeof AlgorithmSuiteIdentifier,
    policy: keyof typeof CommitmentPolicy = "REQUIRE_ENCRYPT_REQUIRE_DECRYPT",
    keys = 1,
  ): Promise<Uint8Array> {
    class Keyring extends ProviderKeyring {
      override async _onEncrypt(material: Parameters<ProviderKeyring["_onEncrypt"]>[0]) {
        await super._onEncrypt(material);
        for (let n = 1; n < keys; n++) {
          const { encrypted } = await provider.makeDataKey(CONTEXT);
          const key = { providerId: "strongroom", providerInfo: provider.name, encryptedDataKey: encrypted };
          material.addEncryptedDataKey(
            new EncryptedDataKey(key),
            KeyringTraceFlag.WRAPPING_KEY_ENCRYPTED_DATA_KEY,
          );
        }
        return material;
      }
    }
    const { encrypt } = buildEncrypt({
      commitmentPolicy: CommitmentPolicy[policy],
      maxEncryptedDataKeys: false,
    });
    const { result } = await encrypt(new Keyring(provider, CONTEXT), SECRET, {
      suiteId: AlgorithmSuiteIdentifier[suite],
      encryptionContext: contextMembers(CONTEXT),
    });
    return result;
  }
});

describe("the provider's failures", () => {
  const failing = (reason: "refused" | "forbidden" | "unavailable") => {
    const fail = async () => {
      throw new KeyProviderError(reason, "no");
    };
    return { ...provider, makeDataKey: fail, openDataKey: fail };
  };

  test.each(["refused", "forbidden", "unavailable"] as const)("%s stays so when sealing", async (reason) => {
    const error = await seal(failing(reason), CONTEXT, SECRET).catch((error: Error) => error);
    expect(error).toBeInstanceOf(KeyProviderError);
    expect(error).toMatchObject({ reason });
  });

  test.each(["forbidden", "unavailable"] as const)("%s stays so when opening", async (reason) => {
    await expect(open(failing(reason), CONTEXT, envelope)).rejects.toMatchObject({
      name: "KeyProviderError",
      reason,
    });
  });

  test("refused is an envelope that never opens", async () => {
    await expect(open(failing("refused"), CONTEXT, envelope)).rejects.toThrow(EnvelopeRefused);
  });
});

describe("memory", () => {
  const zeros = new Uint8Array(32);

  test("each plaintext data key is zeroed, also if the envelope was changed", async () => {
    const watched = memoryKeyProvider("transit:integration");
    const sealed = await seal(watched, CONTEXT, SECRET);
    await open(watched, CONTEXT, sealed);
    sealed[sealed.byteLength - 1] = (sealed.at(-1) ?? 0) ^ 1;
    await open(watched, CONTEXT, sealed).catch(() => {});
    expect(watched.givenOut).toEqual([zeros, zeros, zeros]);
  });

  test("the plaintext is the caller's: neither changed nor in a buffer that others share", async () => {
    const plaintext = SECRET.slice();
    const sealed = await seal(provider, CONTEXT, plaintext);
    expect(plaintext).toEqual(SECRET);
    const opened = await open(provider, CONTEXT, sealed);
    expect(opened.buffer.byteLength).toBe(opened.byteLength);
    expect(sealed.buffer.byteLength).toBe(sealed.byteLength);
  });
});

test("a plaintext that is too long is not sealed", async () => {
  await expect(seal(provider, CONTEXT, new Uint8Array(MAX_PLAINTEXT_BYTES + 1))).rejects.toThrow(RangeError);
});

test("many at once do not mix", async () => {
  const contexts = Array.from({ length: 50 }, (_, n) => ({ ...CONTEXT, version: String(n) }));
  const sealed = await Promise.all(
    contexts.map((context) => seal(provider, context, bytes(context.version))),
  );
  const opened = await Promise.all(
    contexts.map((context, n) => open(provider, context, sealed[n] ?? SECRET)),
  );
  expect(opened).toEqual(contexts.map(({ version }) => bytes(version)));
});

const FIRST =
  "AgR4W5dRMyC+kMM18qHjDsjbXcoE3HHHHI3fdIItuS46KAUAggAFAApjcmVkZW50aWFsAARtYWlsAANvcmcAEG9hYWFhYWFhYWFhYWFhYWEABnBvbGljeQArRTFNbTl2UTItMGRZVkJ3NnZIMGdHWjBZa1E3UTVvVm4zYmNtMXFRdkowawAHcHVycG9zZQALaW50ZWdyYXRpb24AB3ZlcnNpb24AATEAAQAKc3Ryb25ncm9vbQATdHJhbnNpdDppbnRlZ3JhdGlvbgA8O1YAdTECTNDlXHJcC7m9o8Wl4lw9c0Dal2JBCLsq4Tu4E22ChMQzqMI3hEpgkA3Z9f0QHU9y5bld++orAgAQAAHg5GKja1maVdwatp1rqCAHzE5SEn8PTThp8rLSBeNSsQM6JWeKAnxtR6QAmYKsR8P/////AAAAAQAAAAAAAAAAAAAAAQAAAA5YzY0slWuLHsn+m8ZMnnhkXCMjo+u058j3SmDu3CA=";
