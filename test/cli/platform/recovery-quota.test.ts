import { Agent } from "undici";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { RECOVERY_REQUESTS } from "../../../services/cli/platform/recovery-quota.ts";
import { isAtLeast } from "../../../services/cli/vault-binary/recipe.ts";
import { sealStatus } from "../../../services/shared/vault/init.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";

/** Addresses of this machine; each stands for a machine of its own. */
const STRANGER = "127.0.0.66";
const OPERATOR = "127.0.0.77";

let vault: InternalVault;
let started: number;
beforeAll(async () => {
  vault = await startInternalVault(inject("vaultBinary"));
  const { version } = await sealStatus(vault.root);
  // From 2.0 on it takes a token, and is limited all the same.
  started = isAtLeast(version, "2.0.0") ? 403 : 200;
});
afterAll(() => vault?.stop());

async function statusOf(localAddress: string, method: "GET" | "PUT" | "DELETE", path: string, data?: object) {
  const agent = new Agent({ localAddress });
  try {
    const { statusCode, body } = await agent.request({
      origin: vault.endpoint.address,
      path: `/v1/${path}`,
      method,
      body: data === undefined ? null : JSON.stringify(data),
    });
    await body.dump();
    return statusCode;
  } finally {
    await agent.close();
  }
}

test.each([
  ["sys/generate-root/attempt", {}],
  ["sys/rekey/init", { secret_shares: 1, secret_threshold: 1 }],
])("a stranger's requests to %s are few an hour, and the operator's attempt is left alone", async (path, data) => {
  for (let i = 0; i < RECOVERY_REQUESTS; i++) {
    expect(await statusOf(STRANGER, i % 2 ? "DELETE" : "PUT", path, i % 2 ? undefined : data)).not.toBe(429);
  }
  expect(await statusOf(STRANGER, "PUT", path, data)).toBe(429);
  expect(await statusOf(STRANGER, "DELETE", path)).toBe(429);
  for (const spelling of [`${path}/`, path.replace("/init", "%2Finit").replace("/attempt", "%2Fattempt")]) {
    expect(await statusOf(STRANGER, "PUT", spelling, data), spelling).toBe(429);
  }
  const { nonce } = await vault.root.read(path);
  await statusOf(OPERATOR, "DELETE", path, { nonce });
  expect(await statusOf(OPERATOR, "PUT", path, data)).toBe(started);
  expect(await statusOf(STRANGER, "DELETE", path)).toBe(429);
  expect(await vault.root.read(path)).toMatchObject({ started: started === 200 });
});

test("a rekey of recovery keys is limited likewise", async () => {
  for (let i = 0; i < RECOVERY_REQUESTS; i++) await statusOf(STRANGER, "GET", "sys/rekey-recovery-key/init");
  expect(await statusOf(STRANGER, "GET", "sys/rekey-recovery-key/init")).toBe(429);
});

test("nothing else is counted", async () => {
  for (let i = 0; i < 3 * RECOVERY_REQUESTS; i++) {
    expect(await statusOf(STRANGER, "GET", "sys/health")).toBe(200);
    expect(await statusOf(STRANGER, "GET", "sys/seal-status")).toBe(200);
    expect(await statusOf(STRANGER, "GET", "auth/token/lookup-self")).toBe(403);
  }
});
