import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { brokerFiles, writeBrokerCertificates } from "../../../services/cli/platform/broker-connection.ts";
import { StateFolder } from "../../../services/cli/platform/state-folder.ts";

let folder: string;
let state: StateFolder;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-broker-certificates-"));
  state = new StateFolder(join(folder, "state"));
  await state.prepare();
});
afterEach(() => rm(folder, { recursive: true }));

const certificate = async (file: string) => new X509Certificate(await readFile(file, "utf8"));
const key = async (file: string) => createPrivateKey(await readFile(file, "utf8"));

test("each side has its own key and the other's certificate, in its own folder", async () => {
  await writeBrokerCertificates(state);
  const { broker, intake } = brokerFiles(state);
  for (const [own, other] of [
    [broker, intake.broker],
    [intake, broker.intake],
  ] as const) {
    const mine = await certificate(own.certificate);
    expect(mine.checkPrivateKey(await key(own.key))).toBe(true);
    expect((await certificate(other)).fingerprint256).toBe(mine.fingerprint256);
    expect(mine.verify(mine.publicKey)).toBe(true);
  }
  for (const file of Object.values(broker)) expect(file.startsWith(state.at("worker-broker"))).toBe(true);
  for (const file of Object.values(intake)) expect(file.startsWith(state.at("intake"))).toBe(true);
  for (const file of [broker.key, intake.key]) expect((await stat(file)).mode & 0o777).toBe(0o600);
});

test("they are new each time", async () => {
  const { broker, intake } = brokerFiles(state);
  const seen = new Set<string>();
  for (const _ of [1, 2]) {
    await writeBrokerCertificates(state);
    for (const file of [broker.certificate, intake.certificate])
      seen.add((await certificate(file)).fingerprint256);
  }
  expect(seen.size).toBe(4);
});
