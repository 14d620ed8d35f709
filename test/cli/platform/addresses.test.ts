import { mkdtemp, rename, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { settleAddresses } from "../../../services/cli/platform/addresses.ts";
import { StateFolder } from "../../../services/cli/platform/state-folder.ts";

let folder: string;
let state: StateFolder;
let lines: string[];
let listening: Server[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-addresses-"));
  state = new StateFolder(join(folder, "state"));
  await state.prepare();
  lines = [];
  listening = [];
});
afterEach(async () => {
  for (const server of listening) await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

const settle = (
  options: { gatewayPort?: number; controlPlanePort?: number; period?: number; demo?: boolean } = {},
) =>
  settleAddresses({
    state,
    gatewayPort: options.gatewayPort ?? 0,
    controlPlanePort: options.controlPlanePort ?? 0,
    intakePort: 0,
    demo: options.demo ?? false,
    unsealTokenPeriodSeconds: options.period,
    progress: { line: (text) => lines.push(text), step: () => expect.unreachable() },
  });
const listen = async (port: number) => {
  const server = createServer();
  listening.push(server);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return (server.address() as { port: number }).port;
};

test("all are different ports of loopback; what others wrote down stays from run to run", async () => {
  const first = await settle({ period: 60 });
  expect(new Set(Object.values(first.addresses)).size).toBe(5);
  for (const address of Object.values(first.addresses))
    expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  const second = await settle();
  expect(second.settled).toEqual(first.settled);
  expect(second.settled.unsealTokenPeriodSeconds).toBe(60);
  expect(lines).toEqual([]);
});

test("the demo's provider keeps its port, since credentials name it, also over starts without a demo", async () => {
  expect((await settle()).settled.demoProviderPort).toBeUndefined();
  const { demoProviderPort: port } = (await settle({ demo: true })).settled;
  expect(port).toBeGreaterThan(1023);
  expect((await settle()).settled.demoProviderPort).toBe(port);
  expect((await settle({ demo: true })).settled.demoProviderPort).toBe(port);
});

test("the broker's port is one more, and stays", async () => {
  const { settled, addresses } = await settle();
  const others = Object.values(addresses).map((address) => Number(new URL(address).port));
  expect(others).not.toContain(settled.brokerPort);
  expect((await settle()).settled.brokerPort).toBe(settled.brokerPort);
  await listen(settled.brokerPort);
  expect((await settle()).settled.brokerPort).not.toBe(settled.brokerPort);
});

test("another period is not taken, and that is said", async () => {
  await settle({ period: 60 });
  expect((await settle({ period: 5 })).settled.unsealTokenPeriodSeconds).toBe(60);
  expect(lines).toEqual(["--unseal-token-period ignored: this state folder was created with 60 s"]);
});

test("a settled port that is taken now gives way to another", async () => {
  const { settled } = await settle();
  await listen(settled.identityProviderPort);
  await listen(settled.internalVaultPort);
  const again = (await settle()).settled;
  expect(again.identityProviderPort).not.toBe(settled.identityProviderPort);
  expect(again.internalVaultPort).not.toBe(settled.internalVaultPort);
  expect(await state.settled()).toEqual(again);
});

test("a named port that is taken, or named twice, is refused before anything is settled", async () => {
  const port = await listen(0);
  await expect(settle({ controlPlanePort: port })).rejects.toMatchObject({
    exit: "unavailable",
    hint: expect.stringContaining("--control-plane-port"),
  });
  await expect(settle({ gatewayPort: 20_001, controlPlanePort: 20_001 })).rejects.toMatchObject({
    exit: "usage",
  });
  expect(await state.settled()).toBeUndefined();
});

test("a folder that was moved is refused, since its Vaults know it by its path", async () => {
  await settle();
  const moved = join(folder, "moved");
  await rename(state.path, moved);
  const before = state.path;
  state = new StateFolder(moved);
  await expect(settle()).rejects.toMatchObject({
    exit: "config",
    message: `This state folder was created at ${before}, and its Vaults refer to it by that path`,
  });
});
