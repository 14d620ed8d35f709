import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkSpec, SpecReader } from "../../services/agent/specs.ts";
import type { InstanceSpec } from "../../services/shared/instance-spec.ts";
import { newOrgId } from "../../services/shared/org.ts";

const ORG = newOrgId();

const spec = (change: Partial<InstanceSpec> = {}): InstanceSpec => {
  const listen = change.listen ?? "127.0.0.1:20000";
  return {
    org: ORG,
    attempt: 1,
    listen,
    config: { listener: { tcp: { address: listen } } },
    environment: {},
    secrets: [],
    restart: 0,
    reload: 0,
    ...change,
  };
};

const secretFile = (file: string) => spec({ secrets: [{ file, parameter: "/p/a" }] });

test.each([
  ["everything in its place", spec()],
  ["listeners as lists", spec({ config: { listener: [{ tcp: [{ address: "127.0.0.1:20000" }] }] } })],
  ["a secret file in a folder", secretFile("tls/certificate.pem")],
  ["a secret variable", spec({ secrets: [{ environment: "VAULT_TOKEN", parameter: "/p/a" }] })],
])("accepted: %s", (_, value) => {
  expect(checkSpec(ORG, value)).toBe(value);
});

const REFUSED: [string, unknown][] = [
  ["nothing", undefined],
  ["another org's", spec({ org: newOrgId() })],
  ["an unknown field", { ...spec(), extra: 1 }],
  ["an address that is not loopback", spec({ listen: "0.0.0.0:20000" })],
  ["a port of the system", spec({ listen: "127.0.0.1:80" })],
  ["no room for raft's port", spec({ listen: "127.0.0.1:65535" })],
  ["no listener", spec({ config: {} })],
  ["a listener elsewhere", spec({ config: { listener: { tcp: { address: "0.0.0.0:20000" } } } })],
  [
    "a second listener",
    spec({ config: { listener: [{ tcp: { address: "127.0.0.1:20000" } }, { tcp: {} }] } }),
  ],
  ["a variable that is none", spec({ environment: { "A=B": "1" } })],
  ["a NUL in a variable", spec({ environment: { A: "1\0B=2" } })],
  ["a path of its own", spec({ environment: { PATH: "/tmp" } })],
  ["a secret that names no place", { ...spec(), secrets: [{ parameter: "/p/a" }] }],
  ["a secret variable that is none", spec({ secrets: [{ environment: "", parameter: "/p/a" }] })],
  ...[
    "../x/y",
    "tls/../../x",
    "/etc/passwd",
    "vault.json",
    "tls/",
    "raft/vault.db",
    "tls/./x",
    "",
    "a\0/b",
  ].map((file): [string, unknown] => [`the secret file ${JSON.stringify(file)}`, secretFile(file)]),
];

test.each(REFUSED)("refused: %s", (_, value) => {
  expect(() => checkSpec(ORG, value)).toThrow();
});

let instances: string;
let reader: SpecReader;
beforeEach(async () => {
  instances = await mkdtemp(join(tmpdir(), "strongroom-specs-"));
  await mkdir(join(instances, "specs"));
  reader = new SpecReader(instances);
});
afterEach(() => rm(instances, { recursive: true }));

const write = async (value: { org: string }, publishedAt: number) => {
  const path = join(instances, "specs", `${value.org}.json`);
  await writeFile(path, JSON.stringify(value));
  await utimes(path, publishedAt, publishedAt);
};

test("one bad file harms no other, and files that are no specs are passed over", async () => {
  const other = spec({ org: newOrgId(), listen: "127.0.0.1:20002" });
  await write(other, 1);
  await writeFile(join(instances, "specs", `${ORG}.json`), "{");
  await writeFile(join(instances, "specs", "notes.json"), "{");
  await writeFile(join(instances, "specs", `.${ORG}.json.123.tmp`), "{");
  const gone = newOrgId();
  await writeFile(join(instances, "specs", `${gone}.withdrawn`), "");
  const { specs, refused, withdrawn } = await reader.read();
  expect([...specs.keys()]).toEqual([other.org]);
  expect([...refused.keys()]).toEqual([ORG]);
  expect(refused.get(ORG)).toMatch(/the spec is refused: .*not valid JSON/);
  expect([...withdrawn]).toEqual([gone]);
});

test("a spec that did not change is the same object; a changed one is another", async () => {
  await write(spec(), 1);
  const first = (await reader.read()).specs.get(ORG);
  expect((await reader.read()).specs.get(ORG)).toBe(first);
  await write(spec({ restart: 1 }), 2);
  expect((await reader.read()).specs.get(ORG)).toEqual(spec({ restart: 1 }));
});

test("of two that want one port, the first published runs, and keeps it when published anew", async () => {
  const late = newOrgId();
  await write(spec(), 1);
  await write(spec({ org: late }), 2);
  expect([...(await reader.read()).specs.keys()]).toEqual([ORG]);
  await write(spec({ reload: 1 }), 3);
  const { specs, refused } = await reader.read();
  expect([...specs.keys()]).toEqual([ORG]);
  expect(refused.get(late)).toContain(`20000 and 20001 conflict with ${ORG}'s`);
});

test("raft's port counts", async () => {
  const late = newOrgId();
  await write(spec(), 1);
  await write(spec({ org: late, listen: "127.0.0.1:20001" }), 2);
  expect([...(await reader.read()).refused.keys()]).toEqual([late]);
});
