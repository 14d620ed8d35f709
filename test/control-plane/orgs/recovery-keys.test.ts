import { generateKey, readKey, revokeKey } from "openpgp";
import { beforeAll, describe, expect, test } from "vitest";
import {
  platformRecoveryKeys,
  recoveryThreshold,
  usableKeys,
} from "../../../services/control-plane/orgs/recovery-keys.ts";

const userIDs = [{ name: "custodian" }];
let armored: string;
let privateKey: string;
beforeAll(async () => {
  ({ publicKey: armored, privateKey } = await generateKey({ type: "ecc", curve: "nistP256", userIDs }));
});

const binary = async (key: string) =>
  Buffer.from((await readKey({ armoredKey: key })).write()).toString("base64");

test("armored and base64 keys come out as base64 of the same binary key, in their order", async () => {
  const { publicKey: other } = await generateKey({ type: "ecc", curve: "curve25519Legacy", userIDs });
  const expected = [await binary(armored), await binary(other), await binary(armored)];
  expect(await usableKeys([armored, other, await binary(armored)])).toEqual(expected);
});

test("base64 may be wrapped in lines", async () => {
  const wrapped = (await binary(armored)).replace(/(.{64})/g, "$1\n");
  expect(await usableKeys([wrapped])).toEqual([await binary(armored)]);
});

describe("refused, with the number of the key, and without it", () => {
  const cases: [string, () => Promise<string> | string][] = [
    ["rubbish", () => "AAAA"],
    ["not even base64", () => "not a key"],
    [
      "an armored text that is no key",
      () => "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----",
    ],
    ["a private key", () => privateKey],
    [
      "a key that can only sign",
      async () =>
        (await generateKey({ type: "ecc", curve: "ed25519Legacy", userIDs, subkeys: [] })).publicKey,
    ],
    [
      "a key that has expired",
      async () =>
        (
          await generateKey({
            type: "ecc",
            curve: "nistP256",
            userIDs,
            date: new Date(2020, 1),
            keyExpirationTime: 60,
          })
        ).publicKey,
    ],
    [
      "a revoked key",
      async () => {
        const { privateKey: key, revocationCertificate } = await generateKey({
          type: "ecc",
          curve: "nistP256",
          userIDs,
          format: "object",
        });
        const { publicKey } = await revokeKey({
          key: key.toPublic(),
          revocationCertificate,
          format: "armored",
        });
        return publicKey;
      },
    ],
  ];

  test.each(cases)("%s", async (_, make) => {
    const bad = await make();
    const error = await usableKeys([armored, bad, armored]).catch((error) => error);
    expect(error).toMatchObject({ code: "recovery_key_unusable" });
    expect(error.message).toMatch(/^recoveryPgpKeys\/1: /);
    if (bad.length > 20) expect(error.message).not.toContain(bad.slice(-20));
  });
});

test("the platform's one key holds three shares", async () => {
  const key = await binary(armored);
  expect(await platformRecoveryKeys(armored)).toEqual([key, key, key]);
});

test.each([
  [3, 2],
  [4, 3],
  [5, 3],
  [10, 6],
])("of %i recovery keys, %i are needed", (shares, threshold) => {
  expect(recoveryThreshold(shares)).toBe(threshold);
});
