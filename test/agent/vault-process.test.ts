import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from "vitest";
import type { InstanceSpec } from "../../services/shared/instance-spec.ts";
import { newOrgId, orgServerName } from "../../services/shared/org.ts";
import { orgParameters } from "../../services/shared/parameters/store.ts";
import { Secret } from "../../services/shared/secret.ts";
import { vaultClient } from "../../services/shared/vault/client.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import { orgServerConfig } from "../../services/shared/vault/server-config.ts";
import { mintUnsealToken } from "../../services/shared/vault/tokens.ts";
import { createUnsealKey, unsealKeyName } from "../../services/shared/vault/transit.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";
import { TestPlatform } from "./platform.ts";

let internal: InternalVault;
let platform: TestPlatform;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
});
afterAll(() => internal?.stop());
beforeEach(async () => {
  platform = await TestPlatform.create(inject("vaultBinary"));
});
afterEach(() => platform.remove());

const parametersOf = (org: string) => orgParameters("/strongroom", org);

async function putCertificate(org: string, seconds = 3600): Promise<string> {
  const { certificate, key, serial } = await issueOrgCertificate(internal.controlPlane, org, seconds);
  await platform.parameters.put(parametersOf(org).certificate, new Secret(certificate));
  await platform.parameters.put(parametersOf(org).key, key);
  return serial;
}

/** Key, token, certificate and spec, as onboarding makes them. */
async function prepareOrg(internalVaultAddress = internal.endpoint.address) {
  const org = newOrgId();
  await createUnsealKey(internal.controlPlane, org);
  const { token } = await mintUnsealToken(internal.controlPlane, org);
  await platform.parameters.put(parametersOf(org).unsealToken, token);
  const serial = await putCertificate(org);
  const listen = await platform.runtime.allocate(org);
  const names = parametersOf(org);
  const spec: InstanceSpec = {
    org,
    attempt: 1,
    listen,
    config: orgServerConfig({
      org,
      place: platform.runtime.place(org, 1, listen),
      internalVault: { address: internalVaultAddress },
    }),
    environment: {},
    secrets: [
      { environment: "VAULT_TOKEN", parameter: names.unsealToken },
      { file: "tls/certificate.pem", parameter: names.certificate },
      { file: "tls/key.pem", parameter: names.key },
    ],
    restart: 0,
    reload: 0,
  };
  const endpoint = { address: `https://${listen}`, ca: internal.ca, serverName: orgServerName(org) };
  return { org, spec, token, serial, client: vaultClient(endpoint, undefined, 30_000) };
}

const initialize = (client: ReturnType<typeof vaultClient>) =>
  client.write("sys/init", { recovery_shares: 1, recovery_threshold: 1 });

/** The serial of the certificate that a Vault shows, as its issuer writes it. */
function shownSerial(listen: string, org: string): Promise<string> {
  const [host, port] = listen.split(":");
  return new Promise((resolve, reject) => {
    const options = { host, port: Number(port), ca: internal.ca, servername: orgServerName(org) };
    const socket = connect(options, () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      resolve(new X509Certificate(raw).serialNumber);
    });
    socket.once("error", reject);
  });
}
const plain = (serial: string) => serial.replaceAll(":", "").toUpperCase().replace(/^0+/, "");

test("a Vault whose unseal token is refused says so in its own words, and the right token mends it", async () => {
  await platform.agent();
  const { org, spec, token, client } = await prepareOrg();
  await platform.running(spec);
  await initialize(client);

  const wrong = "hvs.CAESINotATokenOfThisVaultAtAllxxxxxxxxxx";
  await platform.parameters.put(parametersOf(org).unsealToken, new Secret(wrong));
  await platform.runtime.publish({ ...spec, restart: 1 });
  const failing = await platform.runtime.waitFor(org, ({ state }) => state === "backoff", 20_000);
  expect(failing).toMatchObject({ exitCode: 1 });
  expect(failing.lastError).toMatch(
    /^exited with 1: error parsing Seal configuration: .*Code: 403.*permission denied/,
  );
  expect(JSON.stringify(failing) + platform.log).not.toContain("hvs.");

  await platform.parameters.put(parametersOf(org).unsealToken, token);
  await platform.running({ ...spec, restart: 2 });
  await platform.runtime.waitFor(org, ({ lastError }) => lastError === undefined, 10_000);
  await expect.poll(() => client.read("sys/seal-status")).toMatchObject({ sealed: false });
});

test("a token for another organization's key unseals nothing", async () => {
  await platform.agent();
  const [one, other] = [await prepareOrg(), await prepareOrg()];
  await platform.parameters.put(parametersOf(one.org).unsealToken, other.token);
  await platform.runtime.publish(one.spec);
  const failing = await platform.runtime.waitFor(one.org, ({ state }) => state === "backoff", 20_000);
  expect(failing.lastError).toContain("permission denied");
});

test("an internal Vault that does not answer is named as the reason", async () => {
  await platform.agent();
  const { org, spec } = await prepareOrg("http://127.0.0.1:1");
  await platform.runtime.publish(spec);
  const failing = await platform.runtime.waitFor(org, ({ state }) => state === "backoff", 25_000);
  expect(failing.lastError).toContain("connection refused");
});

test("a Vault that starts but cannot unseal gives Vault's reason", async () => {
  await platform.agent();
  const { org, spec, client } = await prepareOrg();
  await platform.running(spec);
  await initialize(client);
  await expect.poll(() => client.read("sys/seal-status")).toMatchObject({ sealed: false });
  const key = `transit/keys/${unsealKeyName(org)}`;
  await internal.root.write(`${key}/rotate`);
  await internal.root.write(`${key}/config`, { min_decryption_version: 2 });
  await platform.runtime.publish({ ...spec, restart: 1 });
  const failing = await platform.runtime.waitFor(
    org,
    ({ restart, lastError }) => restart === 1 && lastError !== undefined,
    20_000,
  );
  expect(failing.lastError).toContain("version is disallowed by policy");
});

test("a Vault that runs but is sealed says so", async () => {
  await platform.agent();
  const { org, spec, client } = await prepareOrg();
  await platform.running(spec);
  const { root_token } = (await initialize(client)) as { root_token: string };
  // On its first run it goes on unsealing itself for some seconds.
  const { pid } = await platform.running({ ...spec, restart: 1 });
  const endpoint = {
    address: `https://${spec.listen}`,
    ca: internal.ca,
    serverName: orgServerName(org),
  };
  const root = vaultClient(endpoint, () => new Secret(root_token));
  await expect.poll(() => client.read("sys/seal-status")).toMatchObject({ sealed: false });
  await expect
    .poll(() =>
      root.write("sys/seal").then(
        () => true,
        () => false,
      ),
    )
    .toBe(true);
  const sealed = await platform.runtime.waitFor(org, ({ lastError }) => lastError !== undefined, 10_000);
  expect(sealed).toMatchObject({ state: "running", pid });
  expect(sealed.lastError).toBe("it is sealed");

  await platform.running({ ...spec, restart: 2 });
  await platform.runtime.waitFor(org, ({ lastError }) => lastError === undefined, 10_000);
});

test("a reload shows the new certificate without a restart", async () => {
  await platform.agent();
  const { org, spec, serial } = await prepareOrg();
  const { pid } = await platform.running(spec);
  expect(plain(await shownSerial(spec.listen, org))).toBe(plain(serial));

  const next = await putCertificate(org);
  expect(plain(await shownSerial(spec.listen, org))).toBe(plain(serial));
  const running = await platform.running({ ...spec, reload: 1 });
  expect(running).toMatchObject({ pid, starts: 1, restart: 0, reload: 1 });
  await expect.poll(async () => plain(await shownSerial(spec.listen, org))).toBe(plain(next));
  const file = await readFile(join(platform.instances, org, "1", "tls", "certificate.pem"), "utf8");
  expect(plain(new X509Certificate(file).serialNumber)).toBe(plain(next));
});

test("a certificate that is another organization's is reported", async () => {
  await platform.agent();
  const [one, other] = [await prepareOrg(), await prepareOrg()];
  const names = parametersOf(other.org);
  const secrets = one.spec.secrets.map((secret) => {
    if (!("file" in secret)) return secret;
    return { ...secret, parameter: secret.file.endsWith("key.pem") ? names.key : names.certificate };
  });
  await platform.runtime.publish({ ...one.spec, secrets });
  const wrong = await platform.runtime.waitFor(one.org, ({ lastError }) => lastError !== undefined, 10_000);
  expect(wrong).toMatchObject({
    state: "starting",
    lastError: "it does not answer (ERR_TLS_CERT_ALTNAME_INVALID)",
  });
});

test("a certificate that has expired is reported, and a reload mends it", async () => {
  await platform.agent();
  const { org, spec } = await prepareOrg();
  await putCertificate(org, 1);
  await platform.running(spec);
  const expired = await platform.runtime.waitFor(org, ({ lastError }) => lastError !== undefined, 10_000);
  expect(expired).toMatchObject({ state: "running" });
  expect(expired.lastError).toBe("its certificate is not valid now (CERT_HAS_EXPIRED)");
  await putCertificate(org);
  await platform.running({ ...spec, reload: 1 });
  await platform.runtime.waitFor(org, ({ lastError }) => lastError === undefined, 10_000);
});

test("what else listens on its address does not pass for it", async () => {
  const [one, other] = [await prepareOrg(), await prepareOrg()];
  const [cert, key] = await Promise.all(
    [parametersOf(other.org).certificate, parametersOf(other.org).key].map((name) =>
      platform.parameters.get(name),
    ),
  );
  const stranger = createServer({ cert: cert?.reveal() ?? "", key: key?.reveal() ?? "" }, (_, response) => {
    response.end("{}");
  });
  const [host, port] = one.spec.listen.split(":");
  await new Promise<void>((resolve) => stranger.listen(Number(port), host, resolve));
  try {
    await platform.agent();
    await platform.runtime.publish(one.spec);
    const failing = await platform.runtime.waitFor(
      one.org,
      ({ state, starts }) => state === "running" || starts >= 3,
      20_000,
    );
    expect(failing.state).not.toBe("running");
    expect(failing.lastError).toContain("address already in use");
  } finally {
    stranger.closeAllConnections();
    stranger.close();
  }
});
