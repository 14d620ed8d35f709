import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import { health } from "../../../services/shared/vault/health.ts";
import { initializeShamir, sealStatus, unseal } from "../../../services/shared/vault/init.ts";
import { internalServerConfig } from "../../../services/shared/vault/server-config.ts";
import { freeListen, startVaultServer, type VaultServer, whenActive } from "../../harness/vault.ts";

let dir: string;
let server: VaultServer;
let address: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "strongroom-init-"));
  const listen = await freeListen();
  address = `http://${listen}`;
  server = await startVaultServer(inject("vaultBinary"), dir, internalServerConfig({ dir, listen }), {
    address,
  });
});
afterAll(async () => {
  await server?.end();
  await rm(dir, { recursive: true });
});

test("a Vault goes from uninitialized over sealed to active, and shows its cluster id then", async () => {
  const open = vaultClient({ address });
  expect(await health(open)).toBe("uninitialized");
  expect(await sealStatus(open)).toEqual({ initialized: false, sealed: true, version: expect.any(String) });

  const { unsealKey, rootToken } = await initializeShamir(open);
  expect(`${unsealKey}${rootToken}`).toBe("[secret][secret]");
  expect(await health(open)).toBe("sealed");
  await expect(initializeShamir(open)).rejects.toMatchObject({ status: 400 });

  await unseal(open, unsealKey);
  await whenActive(open);
  expect(await sealStatus(open)).toMatchObject({
    initialized: true,
    sealed: false,
    clusterId: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
  await unseal(open, unsealKey);
  expect(await health(open)).toBe("active");
});

test("silence is an error, not a state", async () => {
  await expect(health(vaultClient({ address: "http://127.0.0.1:9" }))).rejects.toMatchObject({
    code: "ECONNREFUSED",
  });
});
