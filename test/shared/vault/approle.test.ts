import { expect } from "vitest";
import { Secret } from "../../../services/shared/secret.ts";
import { appRoleLogin } from "../../../services/shared/vault/approle.ts";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import { test } from "../../harness/fixtures.ts";
import type { InternalVault } from "../../harness/vault.ts";

const HOUR_MS = 3600 * 1000;

let vault: InternalVault;
test.beforeAll(({ internal }) => {
  vault = internal;
});

function loginAt(start: number) {
  const clock = { now: start };
  return { clock, login: appRoleLogin(vault.endpoint, vault, () => clock.now) };
}

const lookup = async (token: Secret) =>
  (await vault.root.write("auth/token/lookup", { token: token.reveal() })).data as {
    policies: string[];
    last_renewal_time?: number;
  };

test("many who ask at once share one login, which has one policy and a period of an hour", async () => {
  const { login } = loginAt(0);
  const tokens = await Promise.all(Array.from({ length: 20 }, () => login.token()));
  expect(new Set(tokens.map((token) => token.reveal())).size).toBe(1);
  expect(await lookup(await login.token())).toMatchObject({
    policies: ["control-plane"],
    period: 3600,
    explicit_max_ttl: 0,
  });
});

test("it is kept until half of the lease is over, and then renewed", async () => {
  const { clock, login } = loginAt(0);
  const first = await login.token();
  clock.now = HOUR_MS / 2 - 1;
  expect(await login.token()).toBe(first);
  expect((await lookup(first)).last_renewal_time).toBeUndefined();
  clock.now = HOUR_MS / 2;
  expect((await login.token()).reveal()).toBe(first.reveal());
  expect((await lookup(first)).last_renewal_time).toBeGreaterThan(0);
});

test("a token that was revoked, or has ended, is replaced", async () => {
  const { clock, login } = loginAt(0);
  const first = await login.token();
  await vault.root.write("auth/token/revoke", { token: first.reveal() });
  clock.now = HOUR_MS / 2;
  const second = await login.token();
  expect(second.reveal()).not.toBe(first.reveal());
  await vaultClient(vault.endpoint, () => second).read("auth/token/lookup-self");
  clock.now = 2 * HOUR_MS;
  expect((await login.token()).reveal()).not.toBe(second.reveal());
});

test("a failed attempt is not kept: the next call tries anew", async () => {
  const roleId = vault.roleId;
  const wrong = appRoleLogin(vault.endpoint, { roleId, secretId: new Secret("wrong") });
  await expect(wrong.token()).rejects.toMatchObject({ status: 400 });
  await expect(wrong.token()).rejects.toMatchObject({ status: 400 });
  const nobody = appRoleLogin({ address: "http://127.0.0.1:9" }, vault);
  await expect(nobody.token()).rejects.toMatchObject({ code: "ECONNREFUSED" });
});
