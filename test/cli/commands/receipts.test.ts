import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Writable } from "node:stream";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runStrongroom } from "../../../services/cli/program.ts";
import { createReceipts, type ReceiptWriter } from "../../../services/intake/receipts/receipts.ts";
import { type Block, blocksPartition } from "../../../services/intake/receipts/records.ts";
import { eventually, type IntakeStage, startIntakeStage, type TestIntake } from "../../harness/intake.ts";
import { completion, intent } from "../../harness/receipts.ts";

let stage: IntakeStage;
let intake: TestIntake;
let receipts: ReceiptWriter;
beforeEach(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  receipts = createReceipts({ store: stage.store, log: pino({ enabled: false }), now: stage.clock.now });
  await writeFile(join(stage.folder, "token"), stage.token("admin"), { mode: 0o600 });
  await use();
  await use({ credential: "other", by: { issuer: "i", subject: "eve\u001b[2J", level: "writer" } });
  stage.clock.skip(50);
  await eventually(async () => (await json("list")).checkpoint?.sequence).toBe(4);
});
afterEach(async () => {
  await receipts.stop();
  await stage.close();
});

const use = async (changes = {}) => {
  const begun = await receipts.begin(stage.acme, intent(changes));
  await receipts.complete(stage.acme, begun, completion());
};

async function run(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const said = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof said) =>
    new Writable({
      write(chunk, _, done) {
        said[name] += chunk;
        done();
      },
    });
  const environment = {
    STRONGROOM_INTAKE: intake.address,
    STRONGROOM_TOKEN_FILE: join(stage.folder, "token"),
  };
  const status = await runStrongroom(["receipts", ...args], environment, stream("stdout"), stream("stderr"));
  return { status, ...said };
}
const json = async (...args: string[]) => JSON.parse((await run(...args, "--json")).stdout);
const file = (name: string) => join(stage.folder, name);
/** Writes what a command prints to a file. */
async function save(name: string, ...args: string[]): Promise<string> {
  await writeFile(file(name), (await run(...args)).stdout);
  return file(name);
}

test("list shows who did what, newest first, and nothing that a terminal obeys", async () => {
  const { status, stdout, stderr } = await run("list");
  expect(status).toBe(0);
  expect(stdout.split("\n").slice(0, 3)).toEqual([
    expect.stringMatching(/^ENTRY +AT +BY +CREDENTIAL +WHAT +OUTCOME$/),
    expect.stringMatching(/^4 +\S+ +of entry 3 +answered 200$/),
    expect.stringMatching(
      /^3 +\S+ +eve\ufffd\[2J +other v1 +use GET api\.example\.com\/v1\/me \(rule read\)$/,
    ),
  ]);
  expect(stderr).toMatch(/^Signed up to entry 4, [0-9]+ s ago\.\n$/);
  expect((await json("list", "--credential", "other")).receipts).toHaveLength(2);
  expect((await json("list", "--limit", "3")).receipts).toHaveLength(3);
});

test("list says that checkpoints are overdue once an entry has waited for minutes, not after a quiet hour", async () => {
  stage.signer.failure = new Error("the internal Vault is sealed");
  stage.clock.skip(3600);
  await use();
  const { stderr } = await run("list");
  expect(stderr).toMatch(/^Signed up to entry 4, [0-9]+ s ago, not the 2 after it\.\n$/);
  stage.clock.skip(121);
  expect((await run("list")).stderr).toContain("Checkpoints are overdue");
});

test("verify says that all is whole, and prints the newest checkpoint", async () => {
  const { status, stdout, stderr } = await run("verify");
  expect(status).toBe(0);
  expect(stdout).toContain("entries 1 to 4: none changed, none missing; 2 intents, 0 without a completion\n");
  expect(stdout).toMatch(/\ncheckpoint {2}[\w-]+\.[\w-]+\.[\w-]+\n$/);
  expect(stderr).toContain("the platform's own answer");
});

test("an organization verifies an export without the platform", async () => {
  const [all, keys] = [await save("all", "export"), await save("keys", "keys")];
  const since = (await json("verify")).signed.jws;
  await intake.close();
  expect((await run("verify", "--file", all, "--key", keys, "--since", since)).status).toBe(0);
  await writeFile(file("since"), `${since}\n`);
  expect((await run("verify", "--file", all, "--key", keys, "--since", file("since"))).status).toBe(0);
  const other = await run("verify", "--file", all, "--key", keys, "--org", stage.globex);
  expect(other).toMatchObject({ status: 1, stderr: expect.stringContaining(`the chain is ${stage.acme}'s`) });
});

test("what is wrong ends with status 1 and the first entry that is", async () => {
  const [all, keys] = [await save("all", "export"), await save("keys", "keys")];
  const text = await readFile(all, "utf8");
  await writeFile(file("changed"), text.replace('"eve', '"ada'));
  await writeFile(file("cut"), text.slice(0, -10));
  expect(await run("verify", "--file", file("changed"), "--key", keys)).toMatchObject({
    ...{ status: 1, stdout: "", stderr: expect.stringContaining("broken at entry 3 (wrong_hash)") },
  });
  expect(await run("verify", "--file", file("cut"), "--key", keys)).toMatchObject({
    ...{ status: 1, stderr: expect.stringContaining("broken (incomplete)") },
  });
});

test("a store that somebody changed is found online", async () => {
  const since = (await json("verify")).signed.jws;
  const [first] = await stage.store.query<Block>(blocksPartition(stage.acme), { limit: 1 });
  if (!first) throw new Error("no block");
  Object.assign(first.body.receipts[0]?.entry ?? {}, { host: "x.example" });
  await stage.store.write([first]);
  expect(await run("verify", "--since", since)).toMatchObject({
    ...{ status: 1, stderr: expect.stringContaining("broken at entry 1 (wrong_hash)") },
  });
});

test("keys of another platform do not verify", async () => {
  const keys = await save("keys", "keys");
  const other = JSON.parse(await readFile(keys, "utf8"));
  const { generateKeyPairSync } = await import("node:crypto");
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await writeFile(
    keys,
    JSON.stringify({ keys: [{ ...other.keys[0], ...publicKey.export({ format: "jwk" }) }] }),
  );
  expect((await run("verify", "--key", keys)).stderr).toContain("checkpoint_unsigned");
  await writeFile(keys, publicKey.export({ format: "pem", type: "spki" }));
  expect((await run("verify", "--key", keys)).stderr).toContain("checkpoint_unsigned");
});

test.each([
  ["--file needs --key", ["--file", "x"]],
  ["cannot be read", ["--key", "/nowhere"]],
  ["--since expects", ["--since", "/nowhere"]],
])("a wrong command line says: %s", async (said, args) => {
  expect(await run("verify", ...args)).toMatchObject({ status: 2, stderr: expect.stringContaining(said) });
});

test("a file that is no export, and one that is not there", async () => {
  const keys = await save("keys", "keys");
  expect(await run("verify", "--file", keys, "--key", keys)).toMatchObject({ status: 1 });
  expect(await run("verify", "--file", "/nowhere", "--key", keys)).toMatchObject({
    ...{ status: 2, stderr: expect.stringContaining("cannot be read") },
  });
  expect((await run("verify", "--key", join(stage.folder, "token"))).status).toBe(2);
});
