import { X509Certificate } from "node:crypto";
import { createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type PeerCertificate } from "node:tls";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { newJob } from "../../services/control-plane/onboarding/progress.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { newJobId, type OrgRecord } from "../../services/shared/registry/records.ts";
import type { OrgView } from "../../services/shared/registry/views.ts";
import { keyDigest } from "../../services/shared/server-key.ts";
import { newPair } from "../harness/tokens.ts";
import { eventually, Stage } from "./stage.ts";

const PERIOD_SECONDS = 6;
const TIMEOUT_MS = 120_000;

let stage: Stage;
let acme: OrgView;
beforeAll(async () => {
  stage = await Stage.open({
    vaultBinary: inject("vaultBinary"),
    unsealTokenPeriodSeconds: PERIOD_SECONDS,
    settings: { STRONGROOM_DRIFT_SECONDS: "1" },
  });
  await stage.startControlPlane();
  stage.startAgent();
  acme = await stage.onboard("acme");
  await stage.writeSecret(acme, "kept");
}, TIMEOUT_MS);
afterAll(() => stage?.close(), TIMEOUT_MS);

const edit = (change: (record: OrgRecord) => OrgRecord) => stage.registry.orgs.update(acme.id, change);

const whenReadable = () =>
  eventually("the secret is readable", () => stage.readSecret(acme).catch(() => undefined));

/** Waits until the record is as wanted. */
const whenRecord = (what: string, isSo: (record: OrgRecord) => boolean) =>
  eventually(what, async () => {
    const record = await stage.record(acme.id);
    return isSo(record) ? record : undefined;
  });

test("unseal tokens are renewed while up: the same one, long after its period", {
  timeout: TIMEOUT_MS,
}, async () => {
  const { unsealTokenAccessor } = await stage.record(acme.id);
  await sleep(PERIOD_SECONDS * 1_500);
  expect((await stage.record(acme.id)).unsealTokenAccessor).toBe(unsealTokenAccessor);
  expect(await stage.unsealTokens(acme.id)).toEqual([unsealTokenAccessor]);
  expect(await stage.readSecret(acme)).toBe("kept");
});

test("tokens that died while all was off are replaced before anything is ready", {
  timeout: TIMEOUT_MS,
}, async () => {
  const before = await stage.record(acme.id);
  await stage.stopControlPlane();
  await stage.stopAgent();
  expect(await stage.vaults()).toEqual([]);
  await sleep(PERIOD_SECONDS * 1_000);
  await expect.poll(() => stage.unsealTokens(acme.id)).toEqual([]);

  await stage.startControlPlane();
  const after = await stage.record(acme.id);
  expect(after.unsealTokenAccessor).not.toBe(before.unsealTokenAccessor);
  expect(after.restart).toBe(before.restart + 1);
  stage.startAgent();
  expect(await whenReadable()).toBe("kept");
  const settled = await whenRecord(
    "the old token is forgotten",
    (record) => record.retiredTokenAccessors.length === 0,
  );
  expect(await stage.unsealTokens(acme.id)).toEqual([settled.unsealTokenAccessor]);
});

test("a token that was revoked is replaced, and the Vault restarted with the new one", {
  timeout: TIMEOUT_MS,
}, async () => {
  const before = await stage.record(acme.id);
  await stage.internal.root.write("auth/token/revoke-accessor", { accessor: before.unsealTokenAccessor });
  const after = await whenRecord("it is replaced", ({ unsealTokenAccessor, retiredTokenAccessors }) => {
    return unsealTokenAccessor !== before.unsealTokenAccessor && retiredTokenAccessors.length === 0;
  });
  expect((await stage.org(acme.id)).instance?.restart).toBe(after.restart);
  expect(await whenReadable()).toBe("kept");
});

test("a certificate is replaced after two thirds of its life, without a restart", {
  timeout: TIMEOUT_MS,
}, async () => {
  const before = await stage.record(acme.id);
  const { pid } = (await stage.org(acme.id)).instance ?? {};
  const day = 24 * 3600 * 1000;
  await edit((record) => ({
    ...record,
    certificateNotBefore: new Date(Date.now() - 21 * day).toISOString(),
    certificateNotAfter: new Date(Date.now() + 9 * day).toISOString(),
  }));
  const after = await whenRecord("it is replaced and the old one revoked", (record) => {
    return (
      record.certificateSerial !== before.certificateSerial && record.retiredCertificateSerials.length === 0
    );
  });
  expect(await stage.certificates(acme.id)).toEqual([after.certificateSerial]);
  const served = await servedBy(acme.listen ?? "");
  expect(served.serial).toBe(after.certificateSerial?.replaceAll(":", "").toUpperCase());
  expect(after.serverKey).toEqual(before.serverKey);
  expect(served.key).toBe(before.serverKey?.digest);
  expect(await publishedKey()).toBe(before.serverKey?.digest);
  expect((await stage.org(acme.id)).instance?.pid).toBe(pid);
  expect(await stage.readSecret(acme)).toBe("kept");
});

test("one of before keys were kept gets its key at its next certificate, published once its Vault has it", {
  timeout: TIMEOUT_MS,
}, async () => {
  const { serverKey: before, certificateSerial } = await stage.record(acme.id);
  expect(await publishedKey()).toBe(before?.digest);
  // Without its end the certificate is due.
  await edit(({ serverKey: _, certificateNotAfter: __, ...record }) => record);
  const after = await whenRecord("it has a key, in force", (record) => {
    return (
      record.serverKey !== undefined &&
      record.certificateSerial !== certificateSerial &&
      record.retiredCertificateSerials.length === 0
    );
  });
  expect(after.serverKey?.digest).not.toBe(before?.digest);
  await eventually("it is published and shown", async () => {
    const { key } = await servedBy(acme.listen ?? "");
    const digest = after.serverKey?.digest;
    return (key === digest && (await publishedKey()) === digest) || undefined;
  });
  expect(await whenReadable()).toBe("kept");
});

test("other settings: the Vault is restarted with them", { timeout: TIMEOUT_MS }, async () => {
  const before = await edit((record) => ({ ...record, settingsDigest: "of other settings" }));
  await eventually("it runs with them", async () => {
    const { instance } = await stage.org(acme.id);
    return instance?.restart === before.restart + 1 && instance.state === "running" ? true : undefined;
  });
  expect(await whenReadable()).toBe("kept");
});

test("its port is taken while it is down: it moves, and the directory with it", {
  timeout: TIMEOUT_MS,
}, async () => {
  const { listen = "" } = await stage.record(acme.id);
  await stage.stopAgent();
  const intruder = await occupy(Number(listen.split(":")[1]));
  try {
    stage.startAgent();
    const moved = await whenRecord("it has another address", (record) => record.listen !== listen);
    expect(await whenReadable()).toBe("kept");
    await eventually("the directory says so", async () => {
      const { orgs } = await stage.directory();
      return orgs.find(({ id }) => id === acme.id)?.address === `https://${moved.listen}` ? true : undefined;
    });
  } finally {
    intruder.close();
  }
});

test("what is wrong with an instance shows on its record, and goes when it is over", {
  timeout: TIMEOUT_MS,
}, async () => {
  await stage.stopAgent();
  const ill = await whenRecord("it is seen to be ill", ({ lastError }) => lastError !== undefined);
  expect(ill.lastError?.message).toMatch(/^Its Vault does not/);
  expect((await stage.org(acme.id)).lastError).toEqual(ill.lastError);
  stage.startAgent();
  await whenRecord("it is well", ({ lastError }) => lastError === undefined);
});

/** An organization's Vault, as an operator who approves of it. */
const maintain = async (org = acme.id) =>
  stage.internal.maintain({ org, endpoint: await stage.endpoint(org) });

test("the first tenant's login is recorded when it comes, and the platform's own logins are none", {
  timeout: TIMEOUT_MS,
}, async () => {
  const { id } = await stage.onboard("unused");
  // A difference that is seen proves that the platform has looked into the Vault.
  await (await maintain(id)).write("sys/policies/acl/back-door", {
    policy: 'path "secret/*" { capabilities = ["read"] }',
  });
  await eventually("it is looked into", async () => (await stage.record(id)).drift);
  expect((await stage.record(id)).firstLoginAt).toBeUndefined();
  await stage.writeSecret(await stage.org(id), "used");
  const at = await eventually("the login is recorded", async () => (await stage.record(id)).firstLoginAt);
  expect((await stage.org(id)).firstLoginAt).toBe(at);
  await stage.ended((await stage.json<{ id: string }>("DELETE", `/v1/orgs/${id}`)).id);
});

describe("differences from what it should be", () => {
  test("are named on the record, not repaired, and gone once they are", { timeout: TIMEOUT_MS }, async () => {
    expect((await stage.record(acme.id)).drift).toBeUndefined();
    await (await maintain()).write("sys/policies/acl/back-door", {
      policy: 'path "secret/*" { capabilities = ["read"] }',
    });
    const { drift } = await whenRecord("it is seen", (record) => record.drift !== undefined);
    expect(drift?.join()).toContain("back-door");
    expect(await stage.org(acme.id)).toMatchObject({ drift, repair: `strongroom org repair ${acme.id}` });
    await (await maintain()).delete("sys/policies/acl/back-door");
    await whenRecord("it is gone", (record) => record.drift === undefined);
  });
});

test("a key that the issuer shows and a Vault does not take is seen at once, and how to mend it", {
  timeout: TIMEOUT_MS,
}, async () => {
  const before = stage.issuer.keys;
  // Far longer than this test: nothing but the new key makes it look.
  await stage.startControlPlaneAnew({ STRONGROOM_DRIFT_SECONDS: "3600" });
  await stage.whenReady();
  await sleep(2_000);
  stage.issuer.keys = [...before, newPair("RS256")];
  const { drift } = await whenRecord("it is seen", (record) => record.drift !== undefined);
  expect(drift).toEqual(["auth/jwt/config: a key is missing: tokens signed by it are refused"]);
  expect((await stage.org(acme.id)).repair).toBe(`strongroom issuer rotate --org ${acme.id}`);
  stage.issuer.keys = before;
  await whenRecord("it is gone", (record) => record.drift === undefined);
  await stage.startControlPlaneAnew({});
  await stage.whenReady();
});

test("an issuer with other settings: records and directory follow", { timeout: TIMEOUT_MS }, async () => {
  const jwksUri = "http://127.0.0.1:9/elsewhere";
  await edit((record) => ({ ...record, issuer: { ...record.issuer, jwksUri } }));
  const { issuer } = await whenRecord("it follows", ({ issuer }) => issuer.jwksUri !== jwksUri);
  expect(issuer).toEqual(stage.issuer.issuer);
});

test("the internal Vault not to be had: said once a pass at most, and all goes on when it is back", {
  timeout: TIMEOUT_MS,
}, async () => {
  await stage.startControlPlaneAnew({ STRONGROOM_INTERNAL_VAULT_ADDR: "http://127.0.0.1:9" });
  const { length: before } = stage.log("control-plane");
  await sleep(3_000);
  const lines = stage.log("control-plane").slice(before).trim().split("\n");
  expect(lines.length).toBeLessThan(8);
  expect((await stage.request("GET", "/v1/ready")).status).toBe(503);
  expect((await stage.request("GET", "/v1/health")).status).toBe(200);
  const answer = await stage.request("GET", `/v1/orgs/${newOrgId()}`);
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ code: "internal_vault_unavailable", retry: true });
  expect((await stage.request("GET", "/v1/directory")).status).toBe(503);
  await stage.stopControlPlane();
  await stage.startControlPlane();
  expect(await whenReadable()).toBe("kept");
});

test("stopped, it ends by itself and at once, its Vaults go on", { timeout: TIMEOUT_MS }, async () => {
  const job = newJob({ id: newJobId(), kind: "delete", org: newOrgId() }, ["never"], new Date());
  await stage.registry.jobs.create(job.id, job);
  const following = await stage.request("GET", `/v1/jobs/${job.id}/events`);
  const begun = Date.now();
  expect(await stage.stopControlPlane()).toBe(0);
  expect(await following.text()).toContain("id: 1\n");
  await stage.registry.jobs.remove(job.id);
  expect(Date.now() - begun).toBeLessThan(5_000);
  expect(await stage.readSecret(acme)).toBe("kept");
  await stage.startControlPlane();
});

test("a ready organization rolled back to initializing: quarantined, its secret readable", {
  timeout: TIMEOUT_MS,
}, async () => {
  const org = await stage.onboard("rolled-back");
  await stage.writeSecret(org, "kept too");
  const { orgs: listed } = await stage.directory();
  const { pid } = (await stage.org(org.id)).instance ?? {};
  const rollBack = ({
    readyAt: _,
    clusterId: __,
    listen: ___,
    unsealTokenAccessor: ____,
    ...record
  }: OrgRecord) => ({
    ...record,
    state: "initializing" as const,
  });
  await stage.registry.orgs.update(org.id, rollBack);
  const isQuarantined = async () => (await stage.record(org.id)).state === "quarantined" || undefined;
  await eventually("it is quarantined", isQuarantined);
  expect((await stage.record(org.id)).lastError?.message).toContain("marker of a live organization");

  await stage.stopControlPlane();
  await stage.startControlPlane();
  expect(await stage.org(org.id)).toMatchObject({
    state: "quarantined",
    instance: { pid, state: "running" },
  });
  const { orgs: now } = await stage.directory();
  expect(now).toEqual(listed);
  const address = now.find(({ id }) => id === org.id)?.address.replace("https://", "") ?? "";
  // The test finds the Vault by the record, which was rolled back to before it had an address.
  await stage.registry.orgs.update(org.id, (record) => ({ ...record, listen: address }));
  expect(await stage.readSecret(org)).toBe("kept too");

  const { id } = await stage.json<{ id: string }>("DELETE", `/v1/orgs/${org.id}`);
  expect((await stage.ended(id)).state).toBe("succeeded");
  expect(await stage.vaults(org.id)).toEqual([]);
});

const publishedKey = async () => (await stage.directory()).orgs.find(({ id }) => id === acme.id)?.serverKey;

/** Serial number and digest of the key of the certificate that is shown there. */
async function servedBy(listen: string): Promise<{ serial: string; key: string }> {
  const [host, port] = listen.split(":");
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
  const { serialNumber: serial, raw } = await new Promise<PeerCertificate>((resolve, reject) => {
    socket.once("secureConnect", () => resolve(socket.getPeerCertificate())).once("error", reject);
  });
  socket.destroy();
  return { serial, key: keyDigest(new X509Certificate(raw).publicKey) };
}

async function occupy(port: number): Promise<Server> {
  return eventually(
    "the port is free",
    () =>
      new Promise<Server | undefined>((resolve) => {
        const server = createServer((socket) => socket.destroy());
        server.once("error", () => resolve(undefined)).listen(port, "127.0.0.1", () => resolve(server));
      }),
  );
}
