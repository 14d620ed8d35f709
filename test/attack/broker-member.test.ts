import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import { formsIn, formsOf, newCanary } from "../harness/canary.ts";
import { startCorpus } from "../harness/corpus.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { http, MEMBERS, type Member, members } from "./corpus/broker/members.ts";

/*
 * Members with good tokens, at an intake and a broker as they run in production. What reaches the destination is what a rule
 * allows for that member, with the credential that the policy injects; and nobody gets the credential.
 */

const corpus = startCorpus("malicious member");
const value = newCanary();
const forms = formsOf(value);

let platform: CredentialPlatform;
beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"), { workers: ["broker"] });
  const readers = { level: "reader" } as const;
  const days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
  const notToday = days[(new Date().getUTCDay() + 3) % 7] ?? "sun";
  const policy = (rules: BrokerPolicy["rules"]): BrokerPolicy => ({
    ...{
      origin: platform.destination.origin,
      inject: { header: "Authorization", format: "Bearer {}" },
      rules,
    },
  });
  const stripe = policy([
    { id: "read", methods: ["GET", "HEAD"], paths: ["/v1/**"], query: ["q"], who: readers },
    { id: "write", methods: ["POST"], paths: ["/v1/items"], who: { level: "writer" } },
    { id: "delete", methods: ["DELETE"], paths: ["/v1/items/*"], who: { level: "admin" } },
    { id: "vip", methods: ["GET"], paths: ["/vip/**"], who: { ...readers, subjects: ["vip"] } },
    { id: "team", methods: ["GET"], paths: ["/team/**"], who: { ...readers, groups: ["team-a"] } },
    { id: "limited", methods: ["GET"], paths: ["/limited/**"], who: readers, rate: { perMinute: 2 } },
    {
      ...{ id: "night", methods: ["GET"], paths: ["/night/**"], who: readers },
      hours: { days: [notToday], from: "00:00", to: "00:01", timeZone: "UTC" },
    },
  ]);
  const put = async (name: string, destination: BrokerPolicy, claim = "org_acme") => {
    const body = { purpose: "broker", value, destination };
    const answer = await platform.api("PUT", `/v1/credentials/${name}`, platform.token(claim), { body });
    if (answer.status !== 201) throw new Error(answer.text);
  };
  await put("stripe", stripe);
  await put("off", stripe);
  await put("hidden", policy([{ id: "a", methods: ["GET"], paths: ["/v1/**"], who: { level: "admin" } }]));
  await put("theirs", stripe, "org_globex");
  await platform.putCredential("job", value);
  await platform.api("POST", "/v1/credentials/off/disable");
});
afterAll(() => platform?.stop());
beforeEach(() => {
  platform.destination.clear();
  platform.destination.answer = (effect, response) =>
    void response
      .writeHead(200, { "x-echo": JSON.stringify(effect.headers) })
      .end(JSON.stringify(effect.headers));
});

const tokens = new Map<string, string>();
function tokenOf(member: Member, subject?: string): string {
  const of: { groups: readonly string[]; claim?: string; subject?: string } = MEMBERS[member];
  const name = `${member} ${subject}`;
  const { orgClaim, groupsClaim } = platform.issuer.issuer;
  const token =
    tokens.get(name) ??
    platform.issuer.token({
      ...{
        sub: subject ?? of.subject ?? member,
        [orgClaim]: of.claim ?? "org_acme",
        [groupsClaim]: of.groups,
      },
    });
  tokens.set(name, token);
  return token;
}

/** Sends bytes, and reads what comes until the connection ends, or stands still. */
function send(text: string): Promise<{ status: number; text: string }> {
  const { hostname, port } = new URL(platform.address);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    let came = "";
    socket.setTimeout(5_000, () => socket.destroy());
    socket.on("data", (chunk) => {
      came += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      const answers = came.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, "");
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(answers)?.[1] ?? 0), text: came });
    });
    socket.write(text, "latin1");
  });
}

describe("what reaches the destination is what a rule allows for the member", () => {
  test.each(
    members.map((each, index) => ({ number: index + 1, ...each })),
  )("way $number: $way", async (each) => {
    const { way, by = "writer", text, status, reaches = 0 } = each;
    const answer = await send(text.replaceAll("TOKEN", by === "nobody" ? "" : tokenOf(by)));
    const { effects } = platform.destination;
    const wrong = effects.filter(
      ({ method, url, headers, body }) =>
        headers.authorization !== `Bearer ${value}` ||
        headers.host !== new URL(platform.destination.origin).host ||
        !isOrdinary(method, url) ||
        (body.length > 0 && headers["content-type"] !== "application/json") ||
        Object.entries(headers).some(([name, sent]) => isEvil(name, String(sent))),
    );
    const found = formsIn(answer.text, forms);
    corpus.count(way, {
      accepted: found.length > 0,
      forwarded: effects.length > reaches || wrong.length > 0,
    });
    expect(found).toEqual([]);
    expect(wrong).toEqual([]);
    expect(effects.length).toBeLessThanOrEqual(reaches);
    expect(status, answer.text).toContain(answer.status);
  });

  test("of these there are at least sixty, and none succeeded", () => {
    expect(corpus).toMatchObject({ tried: members.length, accepted: [], forwarded: [] });
    expect(members.length).toBeGreaterThanOrEqual(60);
    expect(new Set(members.map(({ way }) => way)).size).toBe(members.length);
  });
});

const isOrdinary = (method: string, url: string) =>
  /^(GET|HEAD) \/v1\/(a|use|smuggled)$|^POST \/v1\/items$|^DELETE \/v1\/items\/1$|^GET \/(vip|team)\/a$/.test(
    `${method} ${url}`,
  ) && !url.includes("smuggled");
/** Headers of the connection and the broker's own stand beside what no caller may set. */
const OWN = ["host", "connection", "authorization", "content-length", "transfer-encoding", "accept-encoding"];
const isEvil = (name: string, sent: string) =>
  OWN.includes(name)
    ? name === "accept-encoding" && sent !== "identity"
    : /evil|^\/v2\/secret$/.test(name === "x-a" ? "" : sent) ||
      /^(proxy-|x-forwarded|x-http-method|x-method|x-original|x-rewrite|x-host|x-real-ip|sec-|webhook-|strongroom-|x-vault|cookie|te$|trailer|expect|upgrade|via|forwarded|range|if-range|keep-alive|destination|x-(amz|goog|ms)-|x-copy)/.test(
        name,
      );

describe("what a refusal tells", () => {
  const refusal = async (path: string, by: Member) => {
    const { status, text } = await send(
      http(`GET /v1/use/stripe${path}`, ["Connection: close"]).replace("TOKEN", tokenOf(by)),
    );
    const { requestId, instance, ...problem } = JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4));
    expect(requestId ?? instance ?? "id").toBeTruthy();
    return { status, problem };
  };

  test("a path that others have a rule for is as good as one that none has", async () => {
    const [theirs, nobodys] = [await refusal("/vip/a", "reader"), await refusal("/nothing/a", "reader")];
    expect(theirs).toEqual(nobodys);
    expect(JSON.stringify(theirs)).not.toMatch(/vip/);
  });

  test("the same by a dry run; and only an admin asks for another caller", async () => {
    const check = (by: Member, body: object) =>
      platform.api("POST", "/v1/credentials/stripe/rules/check", tokenOf(by), { body });
    const asked = { method: "GET", path: "/vip/a" };
    const [theirs, nobodys] = [
      await check("reader", asked),
      await check("reader", { ...asked, path: "/no/a" }),
    ];
    expect(theirs.body).toEqual(nobodys.body);
    const as = { level: "reader", subject: "vip" };
    for (const by of ["reader", "writer", "vip", "auditor", "operator"] as const) {
      expect((await check(by, { ...asked, as })).status, by).toBe(403);
    }
    expect((await check("foreign admin", { ...asked, as })).status).toBe(404);
    expect((await check("admin", { ...asked, as })).body).toMatchObject({ allowed: true, rule: "vip" });
    expect(platform.destination.connections).toBe(0);
  });
});

test("a rule's rate is for all members and tokens together", async () => {
  const sent = await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      send(
        http("GET /v1/use/stripe/limited/a", ["Connection: close"]).replace(
          "TOKEN",
          tokenOf("reader", `reader-${index}`),
        ),
      ),
    ),
  );
  expect(sent.map(({ status }) => status).sort()).toEqual([200, 200, 429, 429, 429, 429]);
  expect(platform.destination.effects).toHaveLength(2);
});

test("receipts are for admins and auditors of the organization alone", async () => {
  const { text } = await send(
    http("GET /v1/use/stripe/v1/a", ["Connection: close"]).replace("TOKEN", tokenOf("writer")),
  );
  const id = /^strongroom-receipt: (\S+)/im.exec(text)?.[1];
  expect(id).toBeDefined();
  const list = (by: Member, query = `?id=${id}`) =>
    platform.api<{ receipts?: unknown[] }>("GET", `/v1/receipts${query}`, tokenOf(by));
  for (const by of ["reader", "writer", "vip", "team", "operator"] as const)
    expect((await list(by)).status, by).toBe(403);
  await expect.poll(async () => (await list("auditor")).body.receipts?.length).toBe(2);
  expect((await list("foreign admin")).body.receipts).toEqual([]);
  const exported = async (by: Member) =>
    (await send(http("GET /v1/receipts/export", ["Connection: close"]).replace("TOKEN", tokenOf(by)))).text;
  expect(await exported("foreign admin")).not.toContain(platform.orgs.org_acme);
  const chain = await exported("auditor");
  expect(chain).toContain(String(id));
  expect(formsIn(chain, forms)).toEqual([]);
});

test("no log has the credential", async () => {
  for (const part of [platform.intake, ...platform.workers]) {
    const lines = JSON.stringify(await part.log());
    expect(formsIn(lines, forms)).toEqual([]);
  }
});
