import { expect, test } from "vitest";
import { open } from "../../../../services/shared/envelope/envelope.ts";
import { type KeyProvider, KeyProviderError } from "../../../../services/shared/envelope/key-provider.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import { Replacements } from "../../../../services/worker/broker/token/replacements.ts";
import { memoryKeyProvider } from "../../../harness/key-provider.ts";

const org = newOrgId();
const of = { org, credential: "provider", version: 4, policy: "hash" };
const keys = memoryKeyProvider("memory:broker");
const textOf = async (envelope: string) => {
  const context = { org, credential: "provider", version: "5", purpose: "broker" as const, policy: "hash" };
  const bytes = await open(keys, context, new Uint8Array(Buffer.from(envelope, "base64")));
  return Buffer.from(bytes).toString();
};

test("a new value is sealed once for the next version, the same for each call, and zeroed", async () => {
  const replacements = new Replacements(keys, () => 0);
  const value = new TextEncoder().encode("the next refresh token");
  replacements.keep(of, value);
  expect(replacements.has(of)).toBe(true);
  expect(replacements.has({ ...of, version: 5 })).toBe(false);
  expect(replacements.has({ ...of, policy: "another" })).toBe(false);
  const [one, other] = await Promise.all([replacements.sealed(of), replacements.sealed(of)]);
  expect(await replacements.sealed(of)).toEqual(one);
  expect(one).toEqual(other);
  expect(one.version).toBe(5);
  expect(await textOf(one.envelope)).toBe("the next refresh token");
  expect(value.every((byte) => byte === 0)).toBe(true);
});

test("a value that cannot be sealed now is kept, and sealed by a later call", async () => {
  let isAway = true;
  const provider: KeyProvider = {
    ...keys,
    async makeDataKey(context) {
      if (isAway) throw new KeyProviderError("unavailable", "away");
      return await keys.makeDataKey(context);
    },
  };
  const replacements = new Replacements(provider, () => 0);
  replacements.keep(of, new TextEncoder().encode("the next refresh token"));
  await expect(replacements.sealed(of)).rejects.toThrow("away");
  isAway = false;
  expect(await textOf((await replacements.sealed(of)).envelope)).toBe("the next refresh token");
});

test("a value is zeroed when it is given up", () => {
  let time = 0;
  const replacements = new Replacements(keys, () => time);
  const [first, second] = [new Uint8Array([1]), new Uint8Array([1])];
  replacements.keep(of, first);
  time = 16 * 60_000;
  expect(replacements.has(of)).toBe(false);
  replacements.keep({ ...of, version: 9 }, second);
  expect([first, second]).toEqual([new Uint8Array([0]), new Uint8Array([1])]);
  replacements.forget();
  expect(second).toEqual(new Uint8Array([0]));
});
