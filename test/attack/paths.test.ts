import { connect, type Socket } from "node:net";
import fc from "fast-check";
import { describe, expect } from "vitest";
import { startCorpus } from "../harness/corpus.ts";
import { test } from "../harness/fixtures.ts";
import { exchange, isWhole } from "../harness/flood.ts";
import type { TestGateway } from "../harness/gateway.ts";
import type { Recorded, Recorder } from "../harness/recorder.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { OrgVault } from "../harness/vault.ts";
import { ENCODED, NOWHERE, PIECES, PLACES, TARGETS } from "./corpus/paths.ts";

let issuer: TestIssuer;
let recorder: Recorder;
let gateway: TestGateway;
let token: string;
test.beforeAll(async ({ recordedGateway }) => {
  ({ issuer, recorder, gateway } = recordedGateway);
  token = issuer.token({
    [issuer.issuer.groupsClaim]: ["admin"],
    exp: Math.floor(Date.now() / 1000) + 3_000,
  });
  // Known from here on, so that what is good goes to the Vault at once.
  expect((await gateway.call("GET", "/v1/secret/data/app", { token })).status).toBe(200);
});

const corpus = startCorpus("paths");

/** A connection on which requests follow each other; each answer is told by the id of its request. */
class Line {
  #socket: Socket | undefined;

  /** The status of the answer, 0 where the connection ended without one, and the request's id. */
  async ask(target: string, method = "GET"): Promise<{ status: number; id: string | undefined }> {
    this.#socket ??= connect(Number(new URL(gateway.url).port), "127.0.0.1").setNoDelay();
    const socket = this.#socket;
    const body = method === "POST" ? '{"data":{}}' : "";
    const length = body && `Content-Length: ${body.length}\r\n`;
    const head = `${method} ${target} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\n${length}\r\n`;
    const text = await exchange(socket, Buffer.from(head + body, "utf8"));
    if (/^connection: close/im.test(text) || !isWhole(text)) this.close();
    return { status: Number(text.slice(9, 12) || 0), id: /^x-request-id: (.*)\r$/im.exec(text)?.[1] };
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }
}

/** What reached the Vault by now, but the login. */
const reached = (): Recorded[] => recorder.requests.filter(({ url }) => !url.endsWith("/login"));

/** Of each name that went on, the one form in which it did. */
const formOf = new Map<string, string>();

/**
 * What makes a forwarded path safe: it has one reading. It is in its canonical form, resolving it as URLs are
 * resolved changes nothing, and decoded once it is what the caller's decodes to, so what was asked for,
 * authorized and sent are one. Decoded, no part of it is empty or dots, with a backslash as a slash too, and
 * nothing is left that could be decoded again or cannot be printed. Of a name there is one form, and of a form
 * one name. Of the query nothing is left but what the path takes.
 */
function expectOneReading(target: string, { url }: Recorded): void {
  const [path = "", query] = url.split("?", 2);
  expect(path).toMatch(/^\/v1\/(secret|sys)\/(?:[A-Za-z0-9._~@+=,:/-]|%[0-9A-F]{2})*$/);
  expect(path).not.toMatch(/%(2F|2E|00|40|2B|3D|2C|3A|7E|2D|5F|[46][1-9A-F]|[57][0-9A]|3[0-9])/);
  const name = decodeURIComponent(path);
  expect(name).not.toContain("//");
  for (const part of name.split(/[/\\]/)) expect([".", ".."]).not.toContain(part);
  expect(name).not.toMatch(/%[0-9A-F]{2}|[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/iu);
  expect(new URL(url, "https://vault").pathname).toBe(path);
  const [askedPath = "", askedQuery] = target.split("?", 2);
  expect(name).toBe(decodeURIComponent(askedPath).replace(/\/\/$/, "/"));
  expect(formOf.get(name) ?? path).toBe(path);
  formOf.set(name, path);
  expect(new Set(formOf.values()).size).toBe(formOf.size);
  if (query === undefined) return;
  expect(query).toMatch(/^(version=[0-9]{1,9}|list=true|depth=[0-9]{1,9})$/);
  const [parameter = "", value] = query.split("=");
  const asked = new URLSearchParams(askedQuery).getAll(parameter);
  expect(parameter === "list" ? asked.map((each) => /^(1|t|true)$/i.test(each)) : asked).toEqual([
    parameter === "list" ? true : value,
  ]);
}

test("a path that could be read in two ways is refused, in whatever place and by whatever verb", async () => {
  const placed = PLACES.flatMap((place) => PIECES.map((piece) => place.replace("@", piece)));
  const line = new Line();
  let harmless = 0;
  for (const target of new Set([...placed, ...TARGETS])) {
    for (const method of ["GET", "POST"]) {
      recorder.clear();
      const { status } = await line.ask(target, method);
      const sent = reached();
      if (sent.length === 0) {
        corpus.count(target, { accepted: status < 400 && status !== 0, forwarded: false });
        expect.soft([0, 400, 401, 403, 405], `${method} ${target}`).toContain(status);
        continue;
      }
      // Some pieces are harmless in some places, like a + in a name: then the path has one reading.
      harmless++;
      expect(sent, target).toHaveLength(1);
      expectOneReading(target, sent[0] as Recorded);
    }
  }
  line.close();
  expect(corpus.accepted).toEqual([]);
  expect(corpus.tried).toBeGreaterThan(1_500);
  // None of them is among those that must go nowhere.
  expect(harmless).toBeLessThan(700);
  process.stdout.write(`paths: ${corpus.tried} refused, ${harmless} names with one reading forwarded\n`);
});

test("what is dotted, doubled, encoded twice, or no name goes nowhere, in whatever place", async () => {
  const line = new Line();
  recorder.clear();
  for (const place of [
    "/v1/secret/data/@",
    "/v1/secret/metadata/a/@/b",
    "/v1/secret/data/a@/b",
    "/v1/@/data/x",
  ]) {
    for (const piece of NOWHERE) {
      for (const method of ["GET", "POST", "DELETE"]) {
        const { status } = await line.ask(place.replace("@", piece), method);
        expect.soft([0, 400, 403], `${method} ${place} ${piece}`).toContain(status);
      }
    }
  }
  line.close();
  expect(reached()).toEqual([]);
});

const name = fc.string({ unit: fc.constantFrom(..."abzAZ09._~@+=,:-"), minLength: 1, maxLength: 8 });
const part = fc.oneof(
  { arbitrary: name, weight: 12 },
  {
    arbitrary: fc.tuple(name, fc.constantFrom(...ENCODED), name).map((p) => p.join("")),
    weight: 2,
  },
  { arbitrary: fc.constantFrom(...PIECES), weight: 2 },
  { arbitrary: fc.tuple(name, fc.constantFrom(...PIECES)).map((p) => p.join("")), weight: 1 },
  { arbitrary: fc.string({ unit: "binary", maxLength: 6 }), weight: 1 },
);
const route = fc.constantFrom(
  "secret/data",
  "secret/metadata",
  "secret/subkeys",
  "secret/destroy",
  "sys/internal/ui/mounts",
);
const target = fc
  .tuple(
    route,
    fc.array(part, { maxLength: 4 }),
    fc.constantFrom("", "", "", "/", "//", "?", "?version=2", "?list=true", "?list=1", "?depth=1", "?x=1"),
  )
  .map(([first, parts, end]) => `/v1/${first}/${parts.join("/")}${end}`)
  // What ends the request line is another request line: framing.test.ts has those.
  .filter((text) => !/[\r\n ]/.test(text));

test("whatever is asked, what is authorized is byte for byte what is forwarded", {
  timeout: 120_000,
}, async () => {
  const line = new Line();
  let forwarded = 0;
  await fc.assert(
    fc.asyncProperty(target, fc.constantFrom("GET", "POST", "DELETE"), async (asked, method) => {
      recorder.clear();
      const { id } = await line.ask(asked, method);
      const sent = reached();
      expect(sent.length).toBeLessThanOrEqual(1);
      if (!sent[0]) return;
      forwarded++;
      expectOneReading(asked, sent[0]);
      expect(sent[0].headers["x-request-id"]).toBe(id);
      expect(sent[0].method).toBe(method);
      await expect
        .poll(() => gateway.log().find(({ requestId }) => requestId === id), { interval: 2 })
        .toBeTruthy();
      const authorized = gateway.log().find(({ requestId }) => requestId === id);
      expect(`${sent[0].url}/`.startsWith(`/v1/${authorized?.route}/`)).toBe(true);
      gateway.log().length = 0;
    }),
    { numRuns: 3_000 },
  );
  line.close();
  process.stdout.write(`paths: 3000 at random, ${forwarded} of them forwarded, each as it was asked\n`);
  expect(forwarded).toBeGreaterThan(300);
});

describe("at a real Vault, by the gateway", () => {
  // KV cleans a key after the policy has matched it, so a form that says "deny" to the one and "this" to the other
  // would do what the caller may not. Asked directly, some do; the gateway lets none of them through.
  const SLASHES = [
    "/",
    "//",
    "/%2F",
    "%2F",
    "%2F%2F",
    "/./",
    "/%2e/",
    "%2f.%2f",
    "/x/../",
    "/x/%2e%2e/",
    "%2Fx%2F..%2F",
    "%5C",
  ];
  let acme: OrgVault;
  let own: TestGateway;
  test.beforeAll(async ({ servedOrg }) => {
    ({ acme, gateway: own } = servedOrg);
    await acme.root.write("secret/data/app/db", { data: { a: "1" } });
    await acme.root.write("transit/keys/app", {});
  });

  /** All that a denied request could have changed. */
  const state = async () =>
    JSON.stringify([
      await acme.root.read("secret/data/app/db").then(({ data }) => data),
      await acme.root.read("secret/metadata/app/db").then(({ data }) => data),
      await acme.root.read("secret/config").then(({ data }) => data),
      await acme.root.read("transit/keys/app").then(({ data }) => data),
    ]);

  test.each<["reader" | "writer" | "admin", method: string, path: string, body: object]>([
    ["reader", "POST", "secret@data@app@db", { data: { a: "2" } }],
    ["reader", "DELETE", "secret@data@app@db", {}],
    ["reader", "POST", "secret@delete@app@db", { versions: [1] }],
    ["reader", "POST", "secret@metadata@app@db", { max_versions: 1 }],
    ["reader", "POST", "secret@metadata@app@db", { custom_metadata: { a: "b" } }],
    ["writer", "DELETE", "secret@metadata@app@db", {}],
    ["writer", "POST", "secret@destroy@app@db", { versions: [1] }],
    ["writer", "POST", "secret@metadata@app@db", { max_versions: 1 }],
    ["writer", "POST", "secret@config", { max_versions: 1 }],
    ["writer", "POST", "transit@keys@app@rotate", {}],
    ["writer", "POST", "transit@keys@app@config", { min_decryption_version: 1, deletion_allowed: true }],
    ["admin", "POST", "transit@keys@app@config", { deletion_allowed: true }],
    ["admin", "DELETE", "transit@keys@app", {}],
    ["admin", "GET", "transit@export@encryption-key@app", {}],
    ["admin", "GET", "sys@policies@acl@admin", {}],
  ])("no spelling lets a %s %s %s %j", async (level, method, path, body) => {
    const before = await state();
    const jwt = issuer.token({ sub: level, [issuer.issuer.groupsClaim]: [level] });
    const places = [...path.matchAll(/@/g)].map(({ index }) => index);
    for (const slash of SLASHES) {
      for (const at of [undefined, ...places]) {
        const spelled = [...path].map((sign, i) =>
          sign !== "@" ? sign : at === undefined || at === i ? slash : "/",
        );
        for (const start of ["/v1/", "/v1%2F", "/v1//"]) {
          const target = start + spelled.join("");
          const options = method === "GET" ? { token: jwt } : { token: jwt, body };
          const { status } = await own.call(method, target, options);
          const isAnotherName = target.includes("%5C") && status < 300;
          if (!isAnotherName) expect.soft([400, 403, 404, 405], `${method} ${target}`).toContain(status);
        }
      }
    }
    expect(await state()).toBe(before);
  });
});
