import { expect, test } from "vitest";
import type { RevocationList } from "../../../../services/shared/front/published/revocations.ts";
import { verifyRevocations } from "../../../../services/shared/front/published/verify-revocations.ts";
import { newDirectoryKey } from "../../../harness/directory.ts";
import { tamper } from "../../../harness/tokens.ts";

const key = newDirectoryKey();
const owner = { issuer: "https://a.test/", claim: "org_acme" };
const base: RevocationList = {
  version: 5,
  maxTokenLifetimeSeconds: 3600,
  orgs: [{ ...owner, revocations: [{ tokenId: "t", ends: 9 }] }],
};

/** Why a list is refused; undefined where it is taken. */
async function refusal(list: unknown, held?: RevocationList, lifetime = 3600): Promise<string | undefined> {
  const jws = typeof list === "string" ? list : await key.signRevocations(list);
  return verifyRevocations(jws, key.publicKey, lifetime, held).then(
    () => undefined,
    (error) => error.reason,
  );
}

test("a list that is newer, or the same again, is taken", async () => {
  expect(await refusal(base)).toBeUndefined();
  expect(await refusal(base, base)).toBeUndefined();
  expect(await refusal({ ...base, version: 6, orgs: [] }, base)).toBeUndefined();
});

test("an older one, and another one of the same version, are refused", async () => {
  expect(await refusal({ ...base, version: 4 }, base)).toBe("older");
  expect(await refusal({ ...base, orgs: [] }, base)).toBe("same_version_differs");
});

test("one that forgets entries before a token of this gateway's longest life ends is refused", async () => {
  expect(await refusal(base, undefined, 3601)).toBe("lifetime");
});

test.each<[string, Partial<RevocationList>, number, string]>([
  ["older", { version: 4 }, 3600, "version 4 is older than the one in use, 5"],
  ["same_version_differs", { orgs: [] }, 3600, "its content differs from the one in use, also version 5"],
  [
    "lifetime",
    { version: 6 },
    3601,
    "it keeps entries for 3600 s, but tokens may live 3601 s here. Set STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS to the same value for both services",
  ],
])("%s: it says what is wrong with it", async (reason, changes, lifetime, detail) => {
  const jws = await key.signRevocations({ ...base, ...changes });
  await expect(verifyRevocations(jws, key.publicKey, lifetime, base)).rejects.toMatchObject({
    name: "RevocationsRefused",
    message: `the revocation list is refused (${reason}): ${detail}`,
  });
});

test("what another key signed, was changed since, or is a directory by the same key, is refused", async () => {
  expect(await refusal(await newDirectoryKey().signRevocations(base))).toBe("signature");
  expect(await refusal(tamper(await key.signRevocations(base), 1))).toBe("signature");
  expect(await refusal(await key.sign(base))).toBe("form");
  expect(await refusal("nonsense")).toBe("signature");
});

test.each<[string, unknown]>([
  ["no list", {}],
  [
    "an owner named by an organization's id",
    { ...base, orgs: [{ id: "oaaaaaaaaaaaaaaa", revocations: [{ tokenId: "t", ends: 9 }] }] },
  ],
  ["a member that is not known", { ...base, extra: 1 }],
  ["an entry of no kind", { ...base, orgs: [{ ...owner, revocations: [{ ends: 9 }] }] }],
  [
    "an entry of two kinds",
    { ...base, orgs: [{ ...owner, revocations: [{ tokenId: "a", token: "b", ends: 9 }] }] },
  ],
  ["a digest that is none", { ...base, orgs: [{ ...owner, revocations: [{ token: "short", ends: 9 }] }] }],
])("%s is refused", async (_, list) => {
  expect(await refusal(list)).toBe("form");
});
