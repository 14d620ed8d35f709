import { randomUUID } from "node:crypto";
import { connect, type Socket } from "node:net";
import { afterAll, expect, vi } from "vitest";
import { test } from "../harness/fixtures.ts";
import { exchange } from "../harness/flood.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";
import { type Recorder, startRecorder } from "../harness/recorder.ts";
import { newPair, startIssuer } from "../harness/tokens.ts";
import type { InternalVault } from "../harness/vault.ts";
import { type Made, Rotation, randomFrom, standIn, type Tenant } from "./corpus/tenancy-model.ts";

const WHOLE = process.env.ATTACK === "whole";
/** Give the seed that a failed run has printed, to have the same run again. */
const SEED = Number(process.env.TENANCY_SEED ?? Math.floor(Math.random() * 2 ** 32));

const issuerNamed = (host: string) =>
  startIssuer(
    { issuer: `https://${host}.example/`, audience: `https://${host}.example/api` },
    newPair("ES256"),
  );

const RUNS = WHOLE ? 100_000 : 4_000;
const PATHS = ["data/app/db", "data/app", "data/a%20b", "metadata/app?list=true", "subkeys/app/db?depth=1"];
const VERBS = ["GET", "GET", "GET", "POST", "DELETE"];
/** The same people and the same names everywhere: only issuer and claim tell who belongs where. */
const PEOPLE = ["ada", "grace", "ada\nx"];
const CLAIMS = ["org_a", "org_b", "org_ab"];

let internal: InternalVault;
let issuers: Rotation[];
/** Those in use, and some whose organization is gone but which still listen. */
const vaults: Recorder[] = [];
const tenants: Tenant[] = [];
let gateway: TestGateway;
const breaches: string[] = [];
const deleted: string[] = [];
const random = randomFrom(SEED);
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;

test.beforeAll(async ({ internal: started }) => {
  internal = started;
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  issuers = (await Promise.all(["one", "two"].map(issuerNamed))).map((issuer) => new Rotation(issuer));
  for (const { issuer } of issuers) {
    for (const claim of CLAIMS) {
      const vault = await newVault();
      tenants.push({ issuer, claim, vault, at: vault });
    }
  }
  gateway = await startGateway({
    ...{ issuers: issuers.map(({ issuer }) => issuer), ca: internal.ca, orgs: entries() },
    ...{ maxLogins: 20, now: () => Date.now() }, // few, so that sessions come and go
  });
});
afterAll(async () => {
  vi.useRealTimers();
  await gateway?.close();
  await Promise.all([...vaults, ...(issuers ?? []).map(({ issuer }) => issuer)].map((each) => each.close()));
});

async function newVault(): Promise<Recorder> {
  const vault = await startRecorder(internal);
  standIn(vault, (own) => tenants.find((tenant) => tenant.vault === own), breaches);
  vaults.push(vault);
  const gone = vaults.filter(
    (each) => !tenants.some((tenant) => tenant.vault === each || tenant.at === each),
  );
  for (const each of gone.filter((other) => other !== vault).slice(0, -8)) {
    vaults.splice(vaults.indexOf(each), 1);
    await each.close();
  }
  return vault;
}

const entries = () =>
  tenants.flatMap(({ issuer, claim, vault, at }) =>
    vault && at ? [{ id: vault.org, issuer: issuer.issuer.issuer, claim, address: at.address }] : [],
  );
function remove(tenant: Tenant): Recorder | undefined {
  const { vault } = tenant;
  if (vault) deleted.push(vault.org);
  tenant.vault = tenant.at = undefined;
  return vault;
}
const publish = () => gateway.publish(entries(), { deleted });
const rotationOf = (tenant: Tenant) => issuers.find(({ issuer }) => issuer === tenant.issuer) as Rotation;
const advance = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1_000);

/** What happens between requests, each as often as its weight says. */
const EVENTS: [weight: number, name: string, happen: () => Promise<unknown> | unknown][] = [
  [6, "time passes", () => advance(5 + random() * 60)],
  [
    3,
    "an address is another's",
    () => {
      pick(tenants).at = pick(vaults);
      return publish();
    },
  ],
  [
    3,
    "addresses are right again",
    () => {
      for (const tenant of tenants) tenant.at = tenant.vault;
      return publish();
    },
  ],
  [
    1,
    "an organization is deleted",
    () => {
      remove(pick(tenants));
      return publish();
    },
  ],
  [
    1,
    "an organization's pair is given to another",
    async () => {
      const tenant = pick(tenants);
      const old = remove(tenant);
      await publish();
      tenant.vault = await newVault();
      // At the old one's address the old Vault may still be.
      tenant.at = random() < 0.5 ? tenant.vault : (old ?? tenant.vault);
      await publish();
    },
  ],
  [
    1,
    "what was deleted comes back as other organizations",
    async () => {
      for (const tenant of tenants) if (!tenant.vault) tenant.vault = tenant.at = await newVault();
      await publish();
    },
  ],
  [
    2,
    "an issuer's keys rotate",
    async () => {
      const rotation = pick(issuers);
      rotation.rotate(random() < 0.5);
      advance(31);
      // A key not known yet has the set fetched again.
      const tenant = tenants.find(({ issuer }) => issuer === rotation.issuer) as Tenant;
      await gateway.call("GET", "/v1/secret/data/x", {
        token: rotation.make(tenant, "x", "x", 60, []).text,
      });
    },
  ],
];
const DRAWN = EVENTS.flatMap(([weight, ...event]) => Array.from({ length: weight }, () => event));
const happened: Record<string, number> = {};

async function somethingHappens(): Promise<void> {
  // Each once, then by chance.
  const first = EVENTS.find(([, each]) => !happened[each]);
  const [name, happen] = first ? [first[1], first[2]] : pick(DRAWN);
  happened[name] = (happened[name] ?? 0) + 1;
  await happen();
}

function expectedStatus(made: Made): number {
  if (!rotationOf(made.tenant).accepts(made) || Date.now() >= made.expiresAt * 1_000) return 403;
  const { vault, at } = made.tenant;
  if (!vault) return 403;
  return at === vault ? 200 : 503;
}

async function request(line: () => Socket, made: Made): Promise<number> {
  const [path, method] = [pick(PATHS), pick(VERBS)];
  const verb = path.includes("?") ? "GET" : method;
  const body = verb === "POST" ? '{"data":{}}' : "";
  const length = body && `Content-Length: ${body.length}\r\n`;
  const head = `${verb} /v1/secret/${path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${made.text}\r\n${length}\r\n`;
  const expected = expectedStatus(made);
  const answer = await exchange(line(), head + body);
  const status = Number(answer.slice(9, 12));
  expect(status).toBe(expected);
  if (status !== 200) return status;
  const { data } = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4));
  const { vault } = made.tenant;
  const own = { org: vault?.org, sub: made.subject, jti: made.id, method: verb, url: `/v1/secret/${path}` };
  expect(data).toEqual(own);
  return status;
}

test(`no answer is another's: ${RUNS} requests at random`, { timeout: 1_200_000 }, async () => {
  const tokens: Made[] = [];
  const sockets: (Socket | undefined)[] = [];
  const line = (i: number) => () => {
    const open = sockets[i];
    if (open && !open.destroyed) return open;
    const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1").setNoDelay();
    sockets[i] = socket;
    return socket;
  };
  const newToken = () => {
    const tenant = pick(tenants);
    const groups = pick([[], ["writer"], ["admin"], ["reader", "x"]]);
    const made = rotationOf(tenant).make(
      tenant,
      pick(PEOPLE),
      randomUUID(),
      30 + Math.floor(random() * 300),
      groups,
    );
    tokens.push(made);
    if (tokens.length > 40) tokens.shift();
    return made;
  };
  const statuses: Record<number, number> = {};
  let runs = 0;
  try {
    while (runs < RUNS) {
      if (random() < 0.1) await somethingHappens();
      const batch = Array.from({ length: 1 + Math.floor(random() * 12) }, (_, i) => {
        const made = random() < 0.25 || tokens.length === 0 ? newToken() : pick(tokens);
        return request(line(i), made);
      });
      for (const status of await Promise.all(batch)) statuses[status] = (statuses[status] ?? 0) + 1;
      runs += batch.length;
      for (const vault of vaults) vault.clear();
      gateway.log().length = 0;
      expect(breaches).toEqual([]);
    }
  } catch (error) {
    throw new Error(`TENANCY_SEED=${SEED}, after ${runs} requests`, { cause: error });
  } finally {
    for (const socket of sockets) socket?.destroy();
  }
  process.stdout.write(
    `tenancy: ${runs} tried, ${breaches.length} crossed; answers ${JSON.stringify(statuses)}; ${JSON.stringify(happened)}\n`,
  );
  for (const status of [200, 403, 503]) expect(statuses[status]).toBeGreaterThan(0);
});
