import { request } from "node:http";
import { pino } from "pino";
import { expect } from "vitest";
import { recordsWith } from "../../services/cli/platform/trace.ts";
import { TrailAnchors } from "../../services/cli/platform/trail-anchors.ts";
import { Trail } from "../../services/control-plane/trail.ts";
import { followTrail, TRAIL_BEGIN } from "../../services/shared/audit/trail.ts";
import { test } from "../harness/fixtures.ts";
import type { InternalVault } from "../harness/vault.ts";

/**
 * Whoever holds the control plane's login at the internal Vault tries to rewrite what stands on the trail. Vault
 * takes a path apart after its policy has matched it, so each attempt is sent as raw bytes, in every spelling.
 */

let internal: InternalVault;
let token: string;
test.beforeAll(async ({ internal: started }) => {
  internal = started;
  const { data } = await internal.controlPlane.read("auth/token/lookup-self");
  token = (data as { id: string }).id;
});

const open = () =>
  new Trail({ vault: internal.controlPlane, now: () => new Date(), log: pino({ level: "silent" }) });
const entries = async () => (await open().read(0, 100)).entries;

function raw(method: string, path: string, body?: object): Promise<number> {
  const { hostname, port } = new URL(internal.endpoint.address);
  return new Promise((resolve, reject) => {
    const headers = { "X-Vault-Token": token, "Content-Type": "application/json" };
    request({ hostname, port, method, path: `/v1/${path}`, headers }, (answer) => {
      answer.resume().once("end", () => resolve(answer.statusCode ?? 0));
    })
      .once("error", reject)
      .end(body && JSON.stringify(body));
  });
}

/** Spellings that Vault's storage takes for one path. */
const spellings = ([first = "", ...rest]: string[]) => {
  const below = rest.join("/");
  return [
    `${first}/${below}`,
    `%2F${first}/${below}`,
    `/${first}/${below}`,
    [first, ...rest].join("%2F"),
    `%2F${[first, ...rest].join("%2F")}`,
    `${first}%2F%2F${below}`,
    `%2e/${first}/${below}`,
    `${first}/%2e/${below}`,
    `x/%2e%2e/${first}/${below}`,
    `${first}/x/%2e%2e/${below}`,
    `${first}/${below}/`,
    `${first}/${below}%2F`,
    `${first}/${below}/%2e`,
  ];
};

test("the thief's script: in no spelling is an entry removed, changed or made anew", async () => {
  for (const action of ["first", "second", "third"]) await open().append({ actor: "ada", action });
  const before = await entries();
  const end = followTrail(before, TRAIL_BEGIN);

  const mounts = ["trail", "registry"].flatMap((mount) =>
    ["metadata", "data", "delete", "destroy", "undelete"].map((kind) => `${mount}/${kind}`),
  );
  for (const mount of mounts) {
    for (const place of [
      ["000000000", "002"],
      ["trail", "000000000", "002"],
    ]) {
      for (const path of spellings(place)) {
        await raw("DELETE", `${mount}/${path}`);
        await raw("POST", `${mount}/${path}`, { data: { actor: "eve" }, versions: [1], max_versions: 1 });
        await raw("PUT", `${mount}/${path}`, { data: { actor: "eve" }, versions: [1], options: { cas: 1 } });
      }
    }
  }
  const after = await entries();
  expect(after).toEqual(before);
  expect(followTrail(after, TRAIL_BEGIN)).toEqual(end);
});

test("what a holder of root writes anew is found, though nobody noted a head: it is in the audit log", async () => {
  for (const action of ["fourth", "fifth"]) await open().append({ actor: "ada", action });
  const before = await entries();
  const anchored = async () => TrailAnchors.of(await recordsWith(`${internal.dir}/audit.log`, "trail/data/"));
  expect((await anchored()).differences(before)).toEqual([]);

  for (const n of [4, 5]) await internal.root.delete(`trail/metadata/000000000/00${n}`);
  expect((await anchored()).differences(await entries())).toEqual([
    expect.stringMatching(/^entry 4, .* is missing/),
    expect.stringMatching(/^entry 5, .* is missing/),
  ]);
  for (const action of ["forged", "forged too"]) await open().append({ actor: "ada", action });
  const forged = await entries();
  expect(followTrail(forged, TRAIL_BEGIN)).toMatchObject({ sequence: 5 });
  expect((await anchored()).differences(forged)).toHaveLength(2);
});
