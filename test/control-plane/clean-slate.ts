import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { claimKey } from "../../services/control-plane/registry/registry.ts";
import type { Stage } from "./stage.ts";

/** Nothing runs, opens or names the organization any more; its record, its key and its storage are marked. */
export async function expectNothingLeft(stage: Stage, org: string): Promise<void> {
  const { registry, internal } = stage;
  const record = await stage.record(org);
  expect(["failed", "deleted"]).toContain(record.state);
  expect(await stage.vaults(org)).toEqual([]);
  expect(await stage.unsealTokens(org)).toEqual([]);
  expect(await stage.certificates(org)).toEqual([]);
  expect(await stage.parameters(org)).toEqual([]);
  await expect(internal.root.read(`root-tokens/${org}`)).rejects.toMatchObject({ status: 404 });
  expect((await registry.names.read(record.name))?.value.org).not.toBe(org);
  expect((await registry.claims.read(claimKey(record.issuer.issuer, record.claim)))?.value.org).not.toBe(org);
  expect((await stage.directory()).orgs.map(({ id }) => id)).not.toContain(org);

  const key = await internal.root.read(`transit/keys/org-${org}`).catch(() => undefined);
  if (key) expect(record.unsealKeyAbandoned).toBe(true);
  for (const attempt of await readdir(join(stage.instances, org)).catch(() => [])) {
    expect(existsSync(join(stage.instances, org, attempt, "set-aside")), `attempt ${attempt}`).toBe(true);
  }
}
