import { rename, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { headText, slotKey } from "../../../services/shared/audit/trail.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";
import { openTrail, type VerifierOptions, verify as verifyTrail } from "./trail-verifier.ts";

/** On a real internal Vault with its audit log, whose root token changes what the control plane's login cannot. */
let internal: InternalVault;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  for (const action of ["one", "two", "three"]) await open().append({ actor: "ada", action });
});
afterAll(() => internal?.stop());

const open = () => openTrail(internal);
const verify = async (options?: VerifierOptions) => (await verifyTrail(internal, options)).printed;

test("a trail as it was written passes, and its log's span is told", async () => {
  const { head, ...rest } = await verify();
  expect(rest).toEqual({ entries: 3, passed: [], strays: [], audited: { from: 1, to: 3, gaps: 0 } });
  expect(await verify({ head })).toMatchObject({ head });
  expect(await verify({ here: false })).not.toHaveProperty("audited");
  await expect(verify({ head: `2:${"0".repeat(64)}` })).rejects.toThrow(/is not on it/);
  await expect(verify({ head: "2" })).rejects.toThrow(/what an earlier verification printed/);
});

test("junk is named: what was passed over passes, what stands at the end fails until the next entry", async () => {
  await internal.controlPlane.write(`trail/data/${slotKey(4)}`, { data: { junk: 1 } });
  await internal.controlPlane.write(`trail/data/${slotKey(9000)}`, { data: { junk: 1 } });
  await expect(verify()).rejects.toThrow(/entry 4 does not have the form of one/);
  await open().append({ actor: "ada", action: "four" });
  expect(await verify()).toMatchObject({ entries: 4, passed: [4], strays: [slotKey(9000)] });
  await expect(verify({ here: false })).rejects.toThrow(/it may have been cut/);
});

test("an entry with another head in its header than its own is told apart, whoever wrote it", async () => {
  const { head } = await open()
    .head()
    .then((at) => ({ head: headText(at) }));
  await internal.controlPlane.write(
    `trail/data/${slotKey(6)}`,
    { data: { junk: 1 } },
    { "x-strongroom-trail-head": `6:${"a".repeat(64)}` },
  );
  await open().append({ actor: "ada", action: "five" });
  await expect(verify({ head })).rejects.toThrow(/entry 6 that was written at .* is gone/);
  // Its slot is junk for good; the rest of the tests are of another log.
  await rename(`${internal.dir}/audit.log`, `${internal.dir}/audit.log.1`);
  await writeFile(`${internal.dir}/audit.log`, "");
  await expect(verify()).rejects.toThrow(/entry 6 that was written/);
});

test("a trail cut by a holder of root, and written anew behind the cut, is found in both states", async () => {
  const { sequence } = await open().head();
  await internal.root.delete(`trail/metadata/${slotKey(sequence)}`);
  const gone = new RegExp(`entry ${sequence} that was written at .* is gone`);
  await expect(verify()).rejects.toThrow(gone);
  await open().append({ actor: "eve", action: "forged" });
  await expect(verify()).rejects.toThrow(
    new RegExp(`entry ${sequence} that was written at .* is another now`),
  );
});
