import { randomInt } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent } from "undici";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { RotationRun } from "../../services/shared/api/rotations.ts";
import type { IssuedToken } from "../../services/shared/api/tokens.ts";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import { makeSealingKeyPair } from "../../services/shared/envelope/sealing.ts";
import { poll } from "../../services/shared/poll.ts";
import { type Form, formsIn, formsOf, newCanary } from "../harness/canary.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { heapSnapshot, snapshotFlags } from "../harness/heap.ts";
import { keyPolicy } from "../harness/key-api.ts";
import { startTlsServer, type TokenEndpoint } from "../harness/token-endpoint.ts";

/*
 * Values that stand nowhere else go through a thousand calls of the broker, to a provider that shows what it was sent in
 * many ways; one is exchanged for tokens, one is rotated in between. Afterwards they must be at the provider and nowhere
 * else: with no caller, in no receipt, file, log, queue, argument, environment or heap.
 */

const CALLS = 1_000;
const AT_ONCE = 8;
const CREDENTIALS = ["direct", "basic", "token"] as const;

let platform: CredentialPlatform;
let provider: TokenEndpoint;
let snapshots: string;
const agent = new Agent({ connections: AT_ONCE });
/** Of the credentials that are put. */
const values = { direct: newCanary(), basic: newCanary(), token: newCanary() };
/** What the provider has made: tokens, and the key of the rotation. */
const tokens: string[] = [];
const rotated = newCanary();
let alive = values.direct;
/** Authorization headers that came to the provider's echoes. */
const sent: string[] = [];
const answers: { path: string; status: number | undefined; from: string; text: string; headers: string }[] =
  [];
let forms: Form[] = [];

/** What an answer shows of a secret. */
const ECHOES: Record<string, (secret: string) => string> = {
  clear: (secret) => `you sent ${secret}.`,
  base64: (secret) => Buffer.from(`a${secret}`).toString("base64"),
  base64url: (secret) => Buffer.from(`ab${secret}`).toString("base64url"),
  hex: (secret) => Buffer.from(secret).toString("hex"),
  HEX: (secret) => Buffer.from(secret).toString("hex").toUpperCase(),
  url: (secret) => encodeURIComponent(secret),
  urls: (secret) => secret.replace(/./gs, (each) => `%${each.charCodeAt(0).toString(16)}`),
  json: (secret) => JSON.stringify({ secret }).replaceAll("/", "\\/").replaceAll("&", "\\u0026"),
  unicode: (secret) =>
    secret.replace(/./gs, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`),
  html: (secret) => secret.replaceAll("&", "&amp;").replaceAll("+", "&#43;").replaceAll("/", "&#x2F;"),
  basic: (secret) => Buffer.from(`user:${secret}`).toString("base64"),
  often: (secret) => `${secret},`.repeat(500),
};

function respond(request: IncomingMessage, response: ServerResponse, body: string): void {
  const { method, url = "", headers } = request;
  const [, , what = "", how = ""] = url.split("/");
  const { authorization = "" } = headers;
  const json = (status: number, value?: object) =>
    response.writeHead(status, { "Content-Type": "application/json" }).end(value && JSON.stringify(value));
  if (url === "/token") {
    const isKnown = body.includes(encodeURIComponent(values.token));
    if (!isKnown) return void json(401, { error: "invalid_client" });
    const token = newCanary().replace(/[&%]/g, "");
    tokens.push(token);
    return void json(200, { access_token: token, token_type: "Bearer", expires_in: 600, scope: "read" });
  }
  if (url === "/v1/keys" && method === "POST") return void json(201, { key: { secret: rotated, id: "new" } });
  if (url.startsWith("/v1/keys/") && method === "DELETE") {
    alive = rotated;
    return void json(204);
  }
  if (url === "/v1/me")
    return void json(
      authorization === `Bearer ${rotated}` || authorization === `Bearer ${alive}` ? 200 : 401,
      {},
    );
  sent.push(authorization);
  const secret = authorization.startsWith("Basic ")
    ? Buffer.from(authorization.slice(6), "base64").toString().replace("user:", "")
    : authorization.replace("Bearer ", "");
  if (what === "header")
    return void response.writeHead(200, { "X-Echo": secret, "X-All": authorization }).end("{}");
  if (what === "location") {
    return void response
      .writeHead(302, { Location: `https://elsewhere.example/?key=${encodeURIComponent(secret)}` })
      .end();
  }
  const text = `${ECHOES[how]?.(secret) ?? "{}"} ${authorization}`;
  response.writeHead(what === "fail" ? 500 : 200, { "Content-Type": "text/plain" });
  // Cut at random, often.
  for (let at = 0; at < text.length; ) {
    const next = at + randomInt(1, what === "split" ? 4 : 400);
    response.write(text.slice(at, next));
    at = next;
  }
  response.end();
}

/** Also as the provider's echoes write it. */
const allForms = (secrets: string[]): Form[] =>
  secrets.flatMap((secret) => [
    ...formsOf(secret),
    ...Object.entries(ECHOES).map(([how, echo]): Form => [`echo ${how}`, Buffer.from(echo(secret))]),
  ]);

const rule = { methods: ["GET" as const], paths: ["/v1/**"], who: { level: "writer" as const } };
const policies = (origin: string): Record<(typeof CREDENTIALS)[number], BrokerPolicy> => ({
  direct: { ...keyPolicy(origin, "old"), rules: [{ id: "all", ...rule }] },
  basic: { origin, inject: { basic: { user: "user" } }, rules: [{ id: "all", ...rule }] },
  token: {
    ...{ origin, inject: { token: { header: "Authorization", format: "Bearer {}" } } },
    rules: [{ id: "all", ...rule }],
    grant: {
      ...{ type: "client_credentials", endpoint: `${origin}/token`, clientId: "client", clientAuth: "post" },
      ...{ scopes: ["read"], who: { level: "writer" }, lifetimeSeconds: 3_600 },
    },
  },
});

beforeAll(async () => {
  snapshots = await mkdtemp(join(tmpdir(), "strongroom-snapshots-"));
  provider = await startTlsServer("provider.example.test", () => (request, response) => {
    void request.toArray().then((chunks) => respond(request, response, Buffer.concat(chunks).toString()));
  });
  platform = await startCredentialPlatform(inject("vaultBinary"), {
    ...{ claims: ["org_acme"], workers: [], exceptions: [provider.exception] },
  });
  platform.intake.command.args.unshift(...snapshotFlags(snapshots));
  await platform.intake.restart("SIGTERM");
  await platform.startWorker("broker", {
    nodeFlags: [...snapshotFlags(snapshots), `--allow-fs-write=${snapshots}`, `--allow-fs-read=${snapshots}`],
  });
  for (const name of CREDENTIALS) {
    const body = { purpose: "broker", value: values[name], destination: policies(provider.origin)[name] };
    const { status, text } = await platform.api("PUT", `/v1/credentials/${name}`, undefined, { body });
    if (status !== 201) throw new Error(text);
  }
  const rotation = { body: { graceSeconds: 1, enabled: false } };
  await platform.api("PUT", "/v1/credentials/direct/rotation", undefined, rotation);
  await callProvider(CALLS / 2);
  await rotate();
  await callProvider(CALLS / 2);
  forms = allForms([...Object.values(values), rotated, ...tokens]);
}, 600_000);
afterAll(async () => {
  await agent.destroy();
  await platform?.stop();
  await provider?.close();
  if (snapshots) await rm(snapshots, { recursive: true, force: true });
});

/** Paths of all echoes, cut and not, in turn. */
const PATHS = [
  ...["text", "split", "fail"].flatMap((what) => Object.keys(ECHOES).map((how) => `${what}/${how}`)),
  ...["header/a", "location/a", "text/none"],
];

async function callProvider(count: number): Promise<void> {
  let next = 0;
  const drive = async () => {
    while (next < count) {
      const index = next++;
      const path = `/v1/use/${CREDENTIALS[index % 3]}/v1/${PATHS[Math.floor(index / 3) % PATHS.length]}`;
      let [status, text, from, headers]: [number | undefined, string, string, string] = [
        undefined,
        "",
        "",
        "",
      ];
      try {
        const answer = await agent.request({
          ...{ origin: platform.address, path, method: "GET" },
          headers: { authorization: `Bearer ${platform.token("org_acme", "writer")}` },
        });
        [from, headers] = [String(answer.headers["strongroom-answer"]), JSON.stringify(answer.headers)];
        for await (const chunk of answer.body) text += chunk;
        status = answer.statusCode;
      } catch {
        // Cut off: what came before is looked at as well.
      }
      answers.push({ path, status, from, text, headers });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, drive));
}

async function rotate(): Promise<void> {
  const { status, text } = await platform.api("POST", "/v1/credentials/direct/rotation/start");
  if (status >= 300) throw new Error(text);
  const newest = async () => {
    const path = "/v1/credentials/direct/rotation/runs?limit=1";
    return (await platform.api<{ runs: RotationRun[] }>("GET", path)).body.runs[0]?.state;
  };
  const isDone = async () => ((await newest()) === "succeeded" ? true : undefined);
  if (!(await poll(isDone, { everyMs: 100, withinMs: 60_000 })))
    throw new Error("the rotation has not ended");
}

test("a thousand calls ended, with the old key and the new one, Basic and tokens", () => {
  expect(answers).toHaveLength(CALLS);
  const secrets = new Set(sent);
  expect(secrets).toContain(`Bearer ${values.direct}`);
  expect(secrets).toContain(`Bearer ${rotated}`);
  expect(secrets).toContain(`Basic ${Buffer.from(`user:${values.basic}`).toString("base64")}`);
  expect(tokens.map((token) => `Bearer ${token}`)).toEqual(
    expect.arrayContaining(
      [...secrets].filter(
        (each) =>
          each.startsWith("Bearer ") && each !== `Bearer ${values.direct}` && each !== `Bearer ${rotated}`,
      ),
    ),
  );
  expect(sent.length).toBe(CALLS);
  const whole = answers.filter(({ from, status }) => from === "destination" && status !== undefined);
  expect(whole.length).toBeGreaterThan(CALLS * 0.9);
});

test("no caller has got a value or a token, in any form", () => {
  for (const { path, text, headers } of answers) expect(formsIn(text + headers, forms), path).toEqual([]);
});

test("a token that is sealed to its caller is in no answer", async () => {
  const { publicKey } = await makeSealingKeyPair();
  const body = { sealTo: Buffer.from(publicKey).toString("base64url") };
  const { status, text } = await platform.api<IssuedToken>("POST", "/v1/credentials/token/token", undefined, {
    body,
  });
  expect(status, text).toBeLessThan(300);
  forms = allForms([...Object.values(values), rotated, ...tokens]);
  expect(formsIn(text, forms)).toEqual([]);
});

test("no answer of the API has a value: receipts, credentials, the rotation's history", async () => {
  const paths = ["receipts/export", "receipts", "credentials", "credentials/direct", "credentials/token"];
  for (const path of [...paths, "credentials/direct/rotation", "credentials/direct/rotation/runs"]) {
    const response = await fetch(`${platform.address}/v1/${path}`, {
      headers: { authorization: `Bearer ${platform.token()}` },
    });
    expect(response.status, path).toBe(200);
    const text = await response.text();
    expect(formsIn(text, forms), path).toEqual([]);
    if (path !== "receipts/export") continue;
    const scrubbed = text.matchAll(/"scrubbed":(\d+)/g).reduce((sum, [, count]) => sum + Number(count), 0);
    expect(scrubbed).toBeGreaterThan(CALLS);
  }
});

describe("nothing that stays has a value", () => {
  test("no file: store, queues, logs, Vault's storage and its audit log", async () => {
    const found: Record<string, string[]> = {};
    const names: string[] = [];
    for (const folder of [platform.folder, platform.internal.dir]) {
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        names.push(entry.name);
        const hits = formsIn(await readFile(join(entry.parentPath, entry.name)), forms);
        if (hits.length > 0) found[join(entry.parentPath, entry.name)] = hits;
      }
    }
    expect(found).toEqual({});
    const needed = [
      "store.sqlite",
      "jobs.sqlite",
      "results.sqlite",
      "intake.log",
      "worker-broker-1.log",
      "audit.log",
    ];
    expect(names).toEqual(expect.arrayContaining(needed));
  });

  test("no argument and no environment of any process of this machine", async () => {
    for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      for (const name of ["cmdline", "environ"]) {
        const content = await readFile(`/proc/${pid}/${name}`).catch(() => Buffer.alloc(0));
        expect(formsIn(content, forms), `${name} of ${pid}`).toEqual([]);
      }
    }
  });

  test("no heap after a collection: the intake's, and the broker's but for the tokens that it holds", {
    timeout: 300_000,
  }, async () => {
    const [broker] = platform.workers;
    if (!broker) throw new Error("no broker");
    const ofIntake = await heapSnapshot(platform.intake, snapshots);
    expect(ofIntake.includes("STRONGROOM_LOG_LEVEL")).toBe(true);
    expect(formsIn(ofIntake, forms)).toEqual([]);
    const ofBroker = await heapSnapshot(broker, snapshots);
    expect(ofBroker.includes("STRONGROOM_LOG_LEVEL")).toBe(true);
    expect(formsIn(ofBroker, [...Object.values(values), rotated].flatMap(formsOf))).toEqual([]);
  });
});
