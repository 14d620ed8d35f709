import { X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { decrypt, generateKey, readMessage, readPrivateKey } from "openpgp";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Job, JobEvent } from "../../services/shared/api/jobs.ts";
import type { OrgPage, OrgView } from "../../services/shared/api/orgs.ts";
import { orgServerName } from "../../services/shared/org.ts";
import { VaultError } from "../../services/shared/vault/client.ts";
import { Stage } from "../control-plane/stage.ts";

const STEPS = [
  "reserve",
  "create-unseal-key",
  "issue-unseal-token",
  "issue-certificate",
  "start-instance",
  "initialize",
  "configure",
  "verify",
  "revoke-root",
];

let stage: Stage;
let acme: OrgView;
beforeAll(async () => {
  stage = await Stage.open({ vaultBinary: inject("vaultBinary") });
  await stage.startControlPlane();
  stage.startAgent();
  acme = await stage.onboard("acme");
});
afterAll(() => stage?.close());

const post = (body: unknown, headers: Record<string, string> = {}, token = stage.token()) =>
  stage.request("POST", "/v1/orgs", { body, headers, token });

describe("an organization that was onboarded", () => {
  test("went through every step, in order", async () => {
    const job = await stage.job(acme.job);
    expect(job).toMatchObject({ kind: "create", state: "succeeded", org: acme.id });
    expect(job.steps.map(({ name, state }) => `${name} ${state}`)).toEqual(
      STEPS.map((name) => `${name} done`),
    );
    const times = job.steps.flatMap(({ startedAt = "", endedAt = "" }) => [startedAt, endedAt]);
    expect(times).toEqual([...times].sort());
  });

  test("shows what operators need and no token, accessor or serial", async () => {
    const record = await stage.record(acme.id);
    expect(acme).toMatchObject({
      name: "acme",
      claim: "org_acme",
      state: "ready",
      attempt: 1,
      issuer: stage.issuer.issuer.issuer,
      instance: { state: "running", pid: expect.any(Number) },
    });
    expect(acme.recoveryKeys).toHaveLength(3);
    const text = JSON.stringify(acme);
    expect(record.unsealTokenAccessor).toBeDefined();
    expect(text).not.toContain(record.unsealTokenAccessor);
    expect(text).not.toContain(record.certificateSerial);
    expect(await stage.json<OrgPage>("GET", "/v1/orgs?name=acme")).toMatchObject({ orgs: [{ id: acme.id }] });
    expect(await stage.json<OrgPage>("GET", "/v1/orgs?name=nobody")).toEqual({ orgs: [] });
  });

  test("keeps its people's secrets, by their level, with their own tokens", async () => {
    await stage.writeSecret(acme, "s3cret");
    expect(await stage.readSecret(acme)).toBe("s3cret");
    const reader = await stage.member(acme, "reader");
    await expect(reader.write("secret/data/app/db", { data: { value: "x" } })).rejects.toMatchObject({
      status: 403,
    });
    await expect(stage.member({ ...acme, claim: "org_globex" })).rejects.toBeInstanceOf(VaultError);
  });

  test("proves by its certificate which one it is", async () => {
    const { host, port } = new URL((await stage.endpoint(acme.id)).address);
    const socket = connect({ host: host.split(":")[0], port: Number(port), rejectUnauthorized: false });
    const shown = await new Promise<Buffer>((resolve, reject) => {
      socket.once("secureConnect", () => resolve(socket.getPeerCertificate().raw)).once("error", reject);
    });
    socket.destroy();
    const certificate = new X509Certificate(shown);
    expect(certificate.subjectAltName).toBe(`DNS:${orgServerName(acme.id)}`);
    expect(certificate.verify(new X509Certificate(stage.internal.ca).publicKey)).toBe(true);
  });

  test("has one unseal token and one certificate, and nothing is left of its root token", async () => {
    const record = await stage.record(acme.id);
    expect(await stage.unsealTokens(acme.id)).toEqual([record.unsealTokenAccessor]);
    expect(await stage.certificates(acme.id)).toEqual([record.certificateSerial]);
    expect(await stage.parameters(acme.id)).toEqual([
      `/strongroom/orgs/${acme.id}/tls-certificate`,
      `/strongroom/orgs/${acme.id}/tls-key`,
      `/strongroom/orgs/${acme.id}/unseal-token`,
    ]);
    await expect(stage.internal.root.list("root-tokens")).rejects.toMatchObject({ status: 404 });
  });

  test("is in the signed directory, at its address", async () => {
    const { orgs, issuers, version } = await stage.directory();
    expect(orgs).toContainEqual({
      id: acme.id,
      issuer: stage.issuer.issuer.issuer,
      claim: "org_acme",
      address: `https://${acme.listen}`,
      serverKey: (await stage.record(acme.id)).serverKey?.digest,
    });
    expect(issuers).toEqual([stage.issuer.issuer]);
    const etag = `"${version}"`;
    const same = await stage.request("GET", "/v1/directory", {
      headers: { "If-None-Match": `"1", ${etag}` },
    });
    expect(same.status).toBe(304);
    expect(await same.text()).toBe("");
    expect(same.headers.get("etag")).toBe(etag);
  });
});

describe("following a job", () => {
  async function events(job: string, lastEventId?: number): Promise<JobEvent[]> {
    const response = await stage.request("GET", `/v1/jobs/${job}/events`, {
      headers: lastEventId === undefined ? {} : { "Last-Event-ID": String(lastEventId) },
    });
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const blocks = (await response.text()).split("\n\n").filter((block) => block.startsWith("id: "));
    return blocks.map((block) => {
      const [, id, kind, data = ""] = /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(block) ?? [];
      const event = JSON.parse(data) as JobEvent;
      expect(event.sequence).toBe(Number(id));
      expect(kind).toBe(event.step ? "step" : "job");
      return event;
    });
  }

  test("one that has ended: every change, or those not yet seen", async () => {
    const all = await events(acme.job);
    expect(all.map(({ sequence }) => sequence)).toEqual(all.map((_, i) => i + 1));
    expect(all.at(-1)).toMatchObject({ state: "succeeded" });
    expect(all.filter(({ state }) => state === "done").map(({ step }) => step)).toEqual(STEPS);
    expect(await events(acme.job, all.length - 2)).toEqual(all.slice(-2));
    expect(await events(acme.job, all.length)).toEqual([]);
  });

  test("one that runs: as it goes, until its end; interrupted and resumed, nothing is missing", async () => {
    const job = await stage.create("followed");
    const whole = events(job.id);
    const response = await stage.request("GET", `/v1/jobs/${job.id}/events`);
    const reader = response.body?.getReader();
    let text = "";
    while (!text.includes("id: 4\n")) text += new TextDecoder().decode((await reader?.read())?.value);
    await reader?.cancel();
    const seen = Math.max(...[...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id)));
    const rest = await events(job.id, seen);
    const all = await whole;
    expect(rest).toEqual(all.slice(seen));
    expect(all.at(-1)).toMatchObject({ state: "succeeded" });
    expect((await stage.job(job.id)).state).toBe("succeeded");
  });
});

describe("the same request again", () => {
  test("with its Idempotency-Key: the same job, also at the same time, also after its end", async () => {
    const body = { name: "initech", claim: "org_initech" };
    const send = () => post(body, { "Idempotency-Key": "request 1" });
    const answers = await Promise.all(Array.from({ length: 8 }, send));
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(202));
    const jobs = (await Promise.all(answers.map((answer) => answer.json()))) as Job[];
    const [{ id } = { id: "" }] = jobs;
    expect(new Set(jobs.map((job) => job.id)).size).toBe(1);
    expect(answers[0]?.headers.get("location")).toBe(`/v1/jobs/${id}`);
    expect((await stage.ended(id)).state).toBe("succeeded");
    const later = await send();
    expect([later.status, ((await later.json()) as Job).id]).toEqual([202, id]);

    const other = await post({ ...body, claim: "org_other" }, { "Idempotency-Key": "request 1" });
    expect(other.status).toBe(409);
    const stranger = await post(
      body,
      { "Idempotency-Key": "request 1" },
      stage.token(undefined, "operator|ada"),
    );
    expect(stranger.status).toBe(409); // their own request, and the name is taken
  });

  test("without one: a conflict, which leaves nothing behind", async () => {
    const before = [
      await stage.registry.names.keys(),
      await stage.registry.claims.keys(),
      await stage.registry.jobs.keys(),
    ];
    const name = await post({ name: "acme", claim: "org_new" }, { "Idempotency-Key": "taken name" });
    const claim = await post({ name: "acme-2", claim: "org_acme" }, { "Idempotency-Key": "taken claim" });
    for (const answer of [name, claim]) {
      expect(answer.status).toBe(409);
      expect(await answer.json()).toMatchObject({ code: "conflict", retry: false });
    }
    const after = [
      await stage.registry.names.keys(),
      await stage.registry.claims.keys(),
      await stage.registry.jobs.keys(),
    ];
    expect(after).toEqual(before);
  });

  test("50 parallel creates of one claim: one 202", async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => post({ name: `parallel-${i}`, claim: "org_parallel" })),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([202, ...Array(49).fill(409)]);
    const accepted = answers.find(({ status }) => status === 202);
    const job = (await accepted?.json()) as Job;
    expect((await stage.ended(job.id)).state).toBe("succeeded");
    const names = (await stage.registry.names.keys()).filter((name) => name.startsWith("parallel-"));
    expect(names).toHaveLength(1);
  });
});

test("ten at once, each with a Vault of its own", async () => {
  const jobs = await Promise.all(Array.from({ length: 10 }, (_, i) => stage.create(`tenth-${i}`)));
  const ended = await Promise.all(jobs.map(({ id }) => stage.ended(id)));
  expect(ended.map(({ state, error }) => error ?? state)).toEqual(Array(10).fill("succeeded"));
  const orgs = await Promise.all(ended.map(({ org }) => stage.org(org)));
  expect(new Set(orgs.map(({ clusterId }) => clusterId)).size).toBe(10);
  expect(new Set(orgs.map(({ listen }) => listen)).size).toBe(10);
  const { orgs: listed } = await stage.directory();
  for (const { id } of orgs) expect(listed.map((entry) => entry.id)).toContain(id);
  for (const { id } of orgs) await stage.request("DELETE", `/v1/orgs/${id}`);
});

test("lists are in pages", async () => {
  const all = (await stage.json<OrgPage>("GET", "/v1/orgs?limit=100")).orgs.map(({ id }) => id);
  const paged: string[] = [];
  let cursor: string | undefined;
  do {
    const page: OrgPage = await stage.json("GET", `/v1/orgs?limit=3${cursor ? `&cursor=${cursor}` : ""}`);
    expect(page.orgs.length).toBeLessThanOrEqual(3);
    paged.push(...page.orgs.map(({ id }) => id));
    cursor = page.next;
  } while (cursor);
  expect(paged).toEqual(all);
  expect(all).toEqual([...all].sort());
});

test("recovery keys go to the PGP keys of the request, in their order", async () => {
  const pairs = await Promise.all(
    ["nistP256", "curve25519Legacy", "nistP256"].map((curve) =>
      generateKey({ type: "ecc", curve: curve as "nistP256", userIDs: [{ name: "custodian" }] }),
    ),
  );
  const recoveryPgpKeys = pairs.map(({ publicKey }) => publicKey);
  const job = (await (await post({ name: "custody", claim: "org_custody", recoveryPgpKeys })).json()) as Job;
  expect((await stage.ended(job.id)).state).toBe("succeeded");
  const { recoveryKeys = [] } = await stage.org(job.org);
  const clear = await Promise.all(
    recoveryKeys.map(async (key, i) => {
      const decryptionKeys = await readPrivateKey({ armoredKey: pairs[i]?.privateKey ?? "" });
      const message = await readMessage({ binaryMessage: Buffer.from(key, "base64") });
      return (await decrypt({ message, decryptionKeys })).data;
    }),
  );
  expect(new Set(clear).size).toBe(3);
  for (const key of clear) expect(String(key)).toMatch(/^[0-9a-f]{66}$/);
});

describe("deleting", () => {
  test("stops it for good, keeps its storage and its key, and frees its name and claim", async () => {
    const org = await stage.onboard("globex");
    await stage.writeSecret(org, "of the first one");
    const early = await stage.directory();

    const answer = await stage.request("DELETE", `/v1/orgs/${org.id}`);
    const again = await stage.request("DELETE", `/v1/orgs/${org.id}`);
    expect([answer.status, again.status]).toEqual([202, 202]);
    const job = (await answer.json()) as Job;
    expect(((await again.json()) as Job).id).toBe(job.id);
    expect(await stage.ended(job.id)).toMatchObject({ kind: "delete", state: "succeeded" });

    expect(await stage.org(org.id)).toMatchObject({ state: "deleted", unsealKeyAbandoned: true });
    expect(await stage.vaults(org.id)).toEqual([]);
    expect(await stage.unsealTokens(org.id)).toEqual([]);
    expect(await stage.certificates(org.id)).toEqual([]);
    expect(await stage.parameters(org.id)).toEqual([]);
    expect(existsSync(join(stage.instances, org.id, "1", "raft"))).toBe(true);
    expect(existsSync(join(stage.instances, org.id, "1", "set-aside"))).toBe(true);
    await expect(stage.internal.root.read(`transit/keys/org-${org.id}`)).resolves.toBeDefined();
    expect((await stage.request("DELETE", `/v1/orgs/${org.id}`)).status).toBe(404);

    const later = await stage.onboard("globex");
    expect(later.id).not.toBe(org.id);
    await expect(stage.readSecret(later)).rejects.toMatchObject({ status: 404 });
    const directory = await stage.directory();
    expect(directory.version).toBeGreaterThan(early.version);
    expect(directory.deleted).toContain(org.id);
    expect(directory.orgs.filter(({ claim }) => claim === "org_globex").map(({ id }) => id)).toEqual([
      later.id,
    ]);
  });

  test("not while it is being onboarded", async () => {
    const job = await stage.create("hasty");
    const answer = await stage.request("DELETE", `/v1/orgs/${job.org}`);
    expect(answer.status).toBe(409);
    expect((await stage.ended(job.id)).state).toBe("succeeded");
  });
});
