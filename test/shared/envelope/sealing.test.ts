import { createECDH, createPrivateKey } from "node:crypto";
import fc from "fast-check";
import { AEAD_AES_128_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256 } from "hpke";
import { beforeAll, describe, expect, test } from "vitest";
import { canonicalContext } from "../../../services/shared/envelope/context.ts";
import { EnvelopeRefused } from "../../../services/shared/envelope/envelope-refused.ts";
import {
  checkSealed,
  fromBase64Url,
  isPublicKey,
  MAX_SEALED_BYTES,
  makeSealingKeyPair,
  openResult,
  openValue,
  type SealingContext,
  type SealingKeyPair,
  SUITE,
  sealResult,
  sealValue,
  toBase64Url,
} from "../../../services/shared/envelope/sealing.ts";
import type { SealedValue } from "../../../services/shared/work/messages.ts";
import { bytes, CONTEXT } from "./contract.ts";
import { derive, openFirst, sealFirst } from "./hpke-reference.ts";

const SEALED_FOR: SealingContext = { ...CONTEXT, key: "kaaaaaaaaaaaaaaa" };
const SECRET = bytes("sk-live-canary");

let pair: SealingKeyPair;
let sealed: SealedValue;
beforeAll(async () => {
  pair = await makeSealingKeyPair();
  sealed = await sealValue(pair.publicKey, SEALED_FOR, SECRET);
});

const ECDH = { name: "ECDH", namedCurve: "P-256" };
const infoOf = ({ key, ...context }: SealingContext) =>
  bytes(`strongroom sealed value\n${key}\n${canonicalContext(context)}`);
/** The 32 bytes of a private key in PKCS #8. */
function scalarOf(privateKey: Uint8Array): Buffer {
  const key = createPrivateKey({ key: Buffer.from(privateKey), format: "der", type: "pkcs8" });
  return Buffer.from(key.export({ format: "jwk" }).d ?? "", "base64url");
}
const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ""), "hex");

describe("a sealed value", () => {
  test("opens for its context with its key", async () => {
    expect(await openValue(pair.privateKey, SEALED_FOR, sealed)).toEqual(SECRET);
  });

  test("is 16 bytes longer, with a point of 65 and a commitment of 32", async () => {
    const lengths = [sealed.ciphertext, sealed.enc, sealed.commitment].map(
      (part) => fromBase64Url(part).length,
    );
    expect(lengths).toEqual([SECRET.length + 16, 65, 32]);
    expect(sealed.key).toBe(SEALED_FOR.key);
  });

  test("is another one each time", async () => {
    const again = await sealValue(pair.publicKey, SEALED_FOR, SECRET);
    for (const part of ["enc", "ciphertext", "commitment"] as const)
      expect(again[part]).not.toBe(sealed[part]);
  });

  test("may be empty, and 64 KiB, and no more", async () => {
    for (const length of [0, MAX_SEALED_BYTES]) {
      const value = new Uint8Array(length).fill(7);
      const opened = await openValue(
        pair.privateKey,
        SEALED_FOR,
        await sealValue(pair.publicKey, SEALED_FOR, value),
      );
      expect(Buffer.from(opened).equals(value)).toBe(true);
    }
    const longer = new Uint8Array(MAX_SEALED_BYTES + 1);
    await expect(sealValue(pair.publicKey, SEALED_FOR, longer)).rejects.toThrow(RangeError);
  });

  test.each(
    Object.keys(SEALED_FOR) as (keyof SealingContext)[],
  )("does not open for another %s", async (member) => {
    const other = { ...SEALED_FOR, [member]: "other" } as SealingContext;
    await expect(openValue(pair.privateKey, other, sealed)).rejects.toThrow(EnvelopeRefused);
    // Nor if it names the other key itself.
    await expect(openValue(pair.privateKey, other, { ...sealed, key: other.key })).rejects.toThrow(
      EnvelopeRefused,
    );
  });

  test("does not open with another private key, or with none", async () => {
    const { privateKey } = await makeSealingKeyPair();
    for (const other of [privateKey, new Uint8Array(32), new Uint8Array(31), pair.publicKey]) {
      await expect(openValue(other, SEALED_FOR, sealed)).rejects.toThrow(EnvelopeRefused);
    }
  });

  test("with any bit changed, or cut off, is refused", async () => {
    for (const part of ["enc", "ciphertext", "commitment"] as const) {
      const whole = fromBase64Url(sealed[part]);
      for (let at = 0; at < whole.length; at++) {
        const changed = whole.slice();
        changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
        for (const wrong of [changed, whole.slice(0, at)]) {
          const value = { ...sealed, [part]: toBase64Url(wrong) };
          await expect(openValue(pair.privateKey, SEALED_FOR, value)).rejects.toThrow(EnvelopeRefused);
        }
      }
    }
  });

  test("is refused by its commitment before it is opened", async () => {
    const derived = derive(scalarOf(pair.privateKey), fromBase64Url(sealed.enc), infoOf(SEALED_FOR));
    const ciphertext = toBase64Url(sealFirst(derived, bytes("another value")));
    // What the ciphertext is does not matter to the commitment, which is one to the key.
    expect(await openValue(pair.privateKey, SEALED_FOR, { ...sealed, ciphertext })).toEqual(
      bytes("another value"),
    );
    const other = await sealValue(pair.publicKey, SEALED_FOR, SECRET);
    await expect(
      openValue(pair.privateKey, SEALED_FOR, { ...sealed, commitment: other.commitment }),
    ).rejects.toThrow(/another context or with another key/);
  });
});

describe("what can be checked without the key", () => {
  const check = (changes: Partial<SealedValue>) => checkSealed({ ...sealed, ...changes }, SEALED_FOR.key);

  test("a sound one has its length", async () => {
    expect(await check({})).toBe(SECRET.length);
  });

  const point = Buffer.alloc(65, 1);
  point[0] = 4;
  test.each<[string, Partial<SealedValue>, RegExp]>([
    ["an old key", { key: "kbbbbbbbbbbbbbbb" }, /^key: not .* current/],
    ["a ciphertext without a tag", { ciphertext: toBase64Url(new Uint8Array(15)) }, /^ciphertext: not 16 to/],
    [
      "a ciphertext over 64 KiB",
      { ciphertext: toBase64Url(new Uint8Array(65_553)) },
      /^ciphertext: not 16 to/,
    ],
    ["a short commitment", { commitment: toBase64Url(new Uint8Array(31)) }, /^commitment: not 32/],
    ["a point that is none", { enc: toBase64Url(point) }, /not a point on the curve/],
    ["the point at infinity", { enc: toBase64Url(new Uint8Array(1)) }, /not an uncompressed/],
    ["a point of zeros", { enc: toBase64Url(Buffer.from([4, ...new Uint8Array(64)])) }, /not a point/],
    ["padding", { commitment: `${toBase64Url(new Uint8Array(32))}=` }, /^commitment: not canonical/],
    ["bits that mean nothing", { commitment: `${"A".repeat(42)}B` }, /^commitment: not canonical/],
    ["base64 of the other alphabet", { enc: "+/" }, /^enc: not canonical/],
    ["a length that base64 has not", { enc: "AAAAA" }, /^enc: not canonical/],
    ["white space", { enc: "AA AA" }, /^enc: not canonical/],
  ])("refused: %s", async (_, changes, message) => {
    const error = await check(changes).catch((error: Error) => error);
    expect(error).toBeInstanceOf(EnvelopeRefused);
    expect((error as Error).message).toMatch(message);
  });

  test("a compressed point is refused, though it is on the curve", async () => {
    const ecdh = createECDH("prime256v1");
    ecdh.generateKeys();
    await expect(check({ enc: toBase64Url(ecdh.getPublicKey(null, "compressed")) })).rejects.toThrow(
      "not an uncompressed P-256 point",
    );
  });
});

describe("an answer to a caller", () => {
  const context = { org: "oaaaaaaaaaaaaaaa", job: "jaaaaaaaaaaaaaaaaaaaaaaaaaa" };

  test("opens with the caller's key, for its job and organization", async () => {
    const caller = await makeSealingKeyPair();
    const answer = await sealResult(caller.publicKey, context, SECRET);
    expect(await openResult(caller.privateKey, context, answer)).toEqual(SECRET);
    for (const other of [
      { ...context, job: "jbbbbbbbbbbbbbbbbbbbbbbbbbb" },
      { ...context, org: "obbbbbbbbbbbbbbb" },
    ]) {
      await expect(openResult(caller.privateKey, other, answer)).rejects.toThrow(EnvelopeRefused);
    }
    await expect(openResult(pair.privateKey, context, answer)).rejects.toThrow(EnvelopeRefused);
    await expect(openResult(caller.privateKey, context, { ...answer, enc: "" })).rejects.toThrow(
      EnvelopeRefused,
    );
  });

  test("is not sealed to what is no public key", async () => {
    for (const wrong of [
      new Uint8Array(),
      new Uint8Array(65),
      pair.publicKey.slice(0, 64),
      pair.privateKey,
    ]) {
      expect(await isPublicKey(wrong)).toBe(false);
      await expect(sealResult(wrong, context, SECRET)).rejects.toThrow(EnvelopeRefused);
    }
    expect(await isPublicKey(pair.publicKey)).toBe(true);
  });

  test("is no sealed value: the two have different contexts", async () => {
    const asValue = await sealResult(pair.publicKey, context, SECRET);
    await expect(
      openValue(pair.privateKey, SEALED_FOR, {
        ...asValue,
        key: SEALED_FOR.key,
        commitment: sealed.commitment,
      }),
    ).rejects.toThrow(EnvelopeRefused);
  });
});

describe("by the standard", () => {
  test("the suite is P-256, HKDF-SHA256, AES-256-GCM", () => {
    expect([SUITE.KEM.id, SUITE.KDF.id, SUITE.AEAD.id]).toEqual([0x0010, 0x0001, 0x0002]);
  });

  /** RFC 9180, A.3.1. It has no vector of P-256 with AES-256-GCM: the reference below covers that. */
  test("RFC 9180's vector of this KEM and KDF", async () => {
    const suite = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_128_GCM);
    const enc =
      hex(`04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f951c0900be
      863c403ce65c9bfcb9382657222d18c4`);
    const info = hex("4f6465206f6e2061204772656369616e2055726e");
    const privateKey = Buffer.from(FIRST_KEY, "base64");
    expect(scalarOf(privateKey).toString("hex")).toBe(
      "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
    );
    const pair = {
      privateKey: await crypto.subtle.importKey("pkcs8", privateKey, ECDH, false, ["deriveBits"]),
      publicKey: await suite.DeserializePublicKey(privateKey.subarray(-65)),
    };
    const recipient = await suite.SetupRecipient(pair, enc, { info });
    const first = hex(
      "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434",
    );
    const opened = await recipient.Open(first, hex("436f756e742d30"));
    expect(Buffer.from(opened).toString()).toBe("Beauty is truth, truth beauty");
    const exported = await recipient.Export(bytes("TestContext"), 32);
    expect(Buffer.from(exported).toString("hex")).toBe(
      "d8f1ea7942adbba7412c6d431c62d01371ea476b823eb697e1f6e6cae1dab85a",
    );
  });

  test("an independent reading of RFC 9180 opens what is sealed, and derives the commitment", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.string({ maxLength: 60 }),
        async (value, credential) => {
          const context = { ...SEALED_FOR, credential };
          const made = await sealValue(pair.publicKey, context, value);
          const derived = derive(scalarOf(pair.privateKey), fromBase64Url(made.enc), infoOf(context));
          expect(openFirst(derived, fromBase64Url(made.ciphertext)).equals(value)).toBe(true);
          expect(toBase64Url(derived.export(bytes("strongroom commitment"), 32))).toBe(made.commitment);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("a value that was sealed by the first version opens", async () => {
    expect(await openValue(Buffer.from(FIRST_KEY, "base64"), SEALED_FOR, FIRST)).toEqual(SECRET);
  });
});

test("base64url is the same as Node's, there and back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (data) => {
      const text = toBase64Url(data);
      expect(text).toBe(Buffer.from(data).toString("base64url"));
      expect(fromBase64Url(text)).toEqual(data);
    }),
  );
});

const FIRST: SealedValue = {
  key: "kaaaaaaaaaaaaaaa",
  enc: "BMCBQ7jkxz7Zl-zKsNcJalyqgcAc_Wu1UknmjzKXjlAqag-hGaoJA7gTxCvL3qj-heggbDUqvY8x4o8AnTLHk9k",
  ciphertext: "DQZx6ya6iwNEEvhF3-UKD-oXgEu3l-SSotHpdqLS",
  commitment: "MhKWPTMYb4y0ROUy5aSVH1nKHuGXTFXyRkrZJBKJJr4",
};

/** The recipient's key in that vector of RFC 9180, as PKCS #8. */
const FIRST_KEY =
  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg885/2uV+GjENh/HrvebzKL4Kmc28rfTWWJzyneS4/9KhRANCAAT+jBnOCQUZHrwpipJFeSUx8m8M7OJGBjnovDnLf3Bqgmp3m0z5abig5TnH9i+z0wrWqo+A4w8dEoqv1oos5y6g";
