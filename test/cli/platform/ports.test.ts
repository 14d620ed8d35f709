import { createServer, type Server } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freePort, isFree, requireFree } from "../../../services/cli/platform/ports.ts";

let taken: Server;
let port: number;
beforeEach(async () => {
  taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  port = (taken.address() as { port: number }).port;
});
afterEach(() => new Promise((resolve) => taken.close(resolve)));

test("a port in use is not free, and is again once it is let go", async () => {
  expect(await isFree(port)).toBe(false);
  await new Promise((resolve) => taken.close(resolve));
  expect(await isFree(port)).toBe(true);
  await new Promise<void>((resolve) => taken.listen(port, "127.0.0.1", resolve));
});

test("a taken port is named, with the option that takes another", async () => {
  await expect(requireFree(port, "gateway", "--gateway-port")).rejects.toMatchObject({
    exit: "unavailable",
    message: `The gateway's port ${port} is in use by another process`,
    hint: "Stop that process, or choose another port: --gateway-port N (0: any free port)",
  });
  await expect(requireFree(0, "gateway", "--gateway-port")).resolves.toBeUndefined();
});

test("a chosen port is free, as is the next, and neither touches one already chosen", async () => {
  const first = await freePort();
  const second = await freePort([first]);
  expect(Math.abs(first - second)).toBeGreaterThanOrEqual(2);
  for (const each of [first, first + 1, second, second + 1]) expect(await isFree(each)).toBe(true);
});
