import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeDemoProvider } from "../../../services/cli/platform/demo-provider.ts";
import { selfSignedCertificate } from "../../../services/cli/platform/self-signed-certificate.ts";
import { StateFolder } from "../../../services/cli/platform/state-folder.ts";

let state: StateFolder;
beforeEach(async () => {
  state = new StateFolder(await mkdtemp(join(tmpdir(), "strongroom-demo-provider-")));
  await state.prepare();
});
afterEach(() => rm(state.path, { recursive: true }));

const exceptions = async (kind: string) =>
  JSON.parse(await readFile(state.at(`worker-${kind}`, "private-destinations.json"), "utf8"));
const certificate = () => readFile(state.at("demo-provider", "certificate.pem"), "utf8");

test("workers may connect to the provider, and to nothing else that is not public", async () => {
  await writeDemoProvider(state, 8260);
  const ca = await certificate();
  for (const kind of ["integration", "webhook", "feed"]) {
    expect(await exceptions(kind)).toEqual([
      { origin: "https://provider.strongroom.test:8260", address: "127.0.0.1", ca },
    ]);
  }
  expect((await stat(state.at("demo-provider", "key.pem"))).mode & 0o777).toBe(0o600);
});

test("without it, they may not any more", async () => {
  await writeDemoProvider(state, 8260);
  await writeDemoProvider(state, undefined);
  await expect(exceptions("integration")).rejects.toMatchObject({ code: "ENOENT" });
});

test("its certificate is kept, and made anew before it ends", async () => {
  await writeDemoProvider(state, 8260);
  const first = await certificate();
  await writeDemoProvider(state, 8260);
  expect(await certificate()).toBe(first);
  const ending = selfSignedCertificate("provider.strongroom.test", 20).certificate;
  await writeFile(state.at("demo-provider", "certificate.pem"), ending);
  await writeDemoProvider(state, 8260);
  expect(new X509Certificate(await certificate()).validToDate.getTime()).toBeGreaterThan(
    Date.now() + 300 * 24 * 3600 * 1000,
  );
});
