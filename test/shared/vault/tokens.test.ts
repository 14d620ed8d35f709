import { expect } from "vitest";
import { newOrgId } from "../../../services/shared/org.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import {
  endUnsealTokensOf,
  isTokenAlive,
  lookupAccessor,
  mintUnsealToken,
  renewAccessor,
  revokeAccessor,
  revokeSelf,
} from "../../../services/shared/vault/tokens.ts";
import { test as base, PER_FILE } from "../../harness/fixtures.ts";
import type { InternalVault } from "../../harness/vault.ts";

const PERIOD_SECONDS = 600;
const test = base.extend("internalVaultSettings", PER_FILE, () => ({
  unsealTokenPeriodSeconds: PERIOD_SECONDS,
}));

let vault: InternalVault;
test.beforeAll(({ internal }) => {
  vault = internal;
});

test("an unseal token is an orphan with the role's period and policy and no other", async () => {
  const { token, accessor, ttl } = await mintUnsealToken(vault.controlPlane, newOrgId());
  expect(ttl).toBe(PERIOD_SECONDS);
  expect(`${token}`).toBe("[secret]");
  const { data } = await vault.root.write("auth/token/lookup-accessor", { accessor });
  expect(data).toMatchObject({ orphan: true, policies: ["unseal"], renewable: true, explicit_max_ttl: 0 });
  expect(data).not.toHaveProperty("identity_policies");
});

test("lookup shows what is left and the period, which renewing gives back", async () => {
  const { accessor } = await mintUnsealToken(vault.controlPlane, newOrgId());
  const seen = await lookupAccessor(vault.controlPlane, accessor);
  expect(seen?.period).toBe(PERIOD_SECONDS);
  expect(seen?.ttl).toBeGreaterThan(PERIOD_SECONDS - 30);
  expect(seen?.ttl).toBeLessThanOrEqual(PERIOD_SECONDS);
  expect(await renewAccessor(vault.controlPlane, accessor)).toBe(PERIOD_SECONDS);
});

test("a dead token is undefined to look up and to renew, and revoking it is no error", async () => {
  const { accessor } = await mintUnsealToken(vault.controlPlane, newOrgId());
  await revokeAccessor(vault.controlPlane, accessor);
  expect(await lookupAccessor(vault.controlPlane, accessor)).toBeUndefined();
  expect(await renewAccessor(vault.controlPlane, accessor)).toBeUndefined();
  await revokeAccessor(vault.controlPlane, accessor);
});

test("all of an organization's unseal tokens end at once, known or not, and nobody else's", async () => {
  const [org, other] = [newOrgId(), newOrgId()];
  const [first, second] = [
    await mintUnsealToken(vault.controlPlane, org),
    await mintUnsealToken(vault.controlPlane, org),
  ];
  const others = await mintUnsealToken(vault.controlPlane, other);
  const isAlive = ({ token }: { token: Secret }) => isTokenAlive(vaultClient(vault.endpoint, () => token));
  expect([await isAlive(first), await isAlive(second), await isAlive(others)]).toEqual([true, true, true]);
  await endUnsealTokensOf(vault.controlPlane, org);
  expect([await isAlive(first), await isAlive(second), await isAlive(others)]).toEqual([false, false, true]);
  await endUnsealTokensOf(vault.controlPlane, org);
  expect(await isAlive(await mintUnsealToken(vault.controlPlane, org))).toBe(true);
  expect([await isAlive(first), await isAlive(second)]).toEqual([false, false]);
});

test("a caller who may not ask gets an error, not a dead token", async () => {
  const { accessor } = await mintUnsealToken(vault.controlPlane, newOrgId());
  const operator = await vault.operator();
  await expect(lookupAccessor(operator, accessor)).rejects.toMatchObject({ status: 403 });
  await expect(renewAccessor(operator, accessor)).rejects.toMatchObject({ status: 403 });
  await expect(revokeAccessor(operator, accessor)).rejects.toMatchObject({ status: 403 });
});

test("revokeSelf ends a root token, and a lookup proves it", async () => {
  const { auth } = await vault.root.write("auth/token/create", { policies: ["root"] });
  const token = new Secret((auth as { client_token: string }).client_token);
  const root = vaultClient(vault.endpoint, () => token);
  expect(await isTokenAlive(root)).toBe(true);
  await revokeSelf(root);
  expect(await isTokenAlive(root)).toBe(false);
  await expect(root.read("sys/mounts")).rejects.toMatchObject({ status: 403 });
});
