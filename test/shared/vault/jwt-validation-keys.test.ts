import { beforeEach, expect } from "vitest";
import { changeIssuerKeys, compareKeys } from "../../../services/shared/vault/jwt-validation-keys.ts";
import { configureOrgVault } from "../../../services/shared/vault/org-vault.ts";
import { test } from "../../harness/fixtures.ts";
import { newPair, publicPem, type TestIssuer } from "../../harness/tokens.ts";
import type { OrgVault } from "../../harness/vault.ts";

let issuer: TestIssuer;
let acme: OrgVault;
test.beforeAll(({ org }) => {
  ({ issuer, acme } = org);
});
beforeEach(() => configureOrgVault(acme.root, acme.settings));

const next = publicPem(newPair());
const change = (keys: string[], finish = false) =>
  changeIssuerKeys(acme.root, issuer.issuer, keys, { finish });
const old = () => publicPem(issuer.pair);

test("beside those it takes, or in their place; again it changes nothing", async () => {
  expect(await change([next])).toEqual({ added: [next], removed: [], keys: [old(), next] });
  expect(await change([next])).toMatchObject({ added: [], removed: [] });
  expect(await change([next], true)).toEqual({ added: [], removed: [old()], keys: [next] });
  expect(await change([next], true)).toMatchObject({ added: [], removed: [] });
});

test("everything else of the mount stays as it was", async () => {
  const { data: before } = await acme.root.read("auth/jwt/config");
  await change([next]);
  const { data: after } = await acme.root.read("auth/jwt/config");
  const without = (config: unknown) => ({ ...(config as object), jwt_validation_pubkeys: [] });
  expect(without(after)).toEqual(without(before));
});

test("no key, or too many, and nothing is changed", async () => {
  await expect(change([], true)).rejects.toThrow("no key");
  const many = Array.from({ length: 20 }, () => publicPem(newPair("ES256")));
  await expect(change(many)).rejects.toThrow("finish a rotation first");
  expect(await change([old()])).toMatchObject({ added: [], removed: [] });
});

test("keys are the same however their PEM is written", () => {
  expect(compareKeys([` ${next.trim()}\r\n`.trimStart()], [next])).toEqual({ added: [], removed: [] });
});
