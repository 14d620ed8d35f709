import { connect, type Socket } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { startCorpus } from "../harness/corpus.ts";
import { exchange, isWhole } from "../harness/flood.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";
import { type Recorded, type Recorder, startRecorder } from "../harness/recorder.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";
import { PIECES, PLACES, TARGETS } from "./corpus/paths.ts";

let internal: InternalVault;
let issuer: TestIssuer;
let recorder: Recorder;
let gateway: TestGateway;
let token: string;
beforeAll(async () => {
  [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  recorder = await startRecorder(internal);
  const orgs = [{ id: recorder.org, claim: "org_acme", address: recorder.address }];
  gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs });
  token = issuer.token({
    [issuer.issuer.groupsClaim]: ["admin"],
    exp: Math.floor(Date.now() / 1000) + 3_000,
  });
  // Known from here on, so that what is good goes to the Vault at once.
  expect((await gateway.call("GET", "/v1/secret/data/app", { token })).status).toBe(200);
});
afterAll(async () => {
  await gateway?.close();
  await recorder?.close();
  await issuer?.close();
  await internal?.stop();
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

/**
 * What makes a forwarded path safe: it has one reading. No part of it is empty or dots, it has no encoding
 * but that of a space, resolving it as URLs are resolved changes nothing, and decoded once it is what the
 * caller's decodes to, so what was asked for, authorized and sent are one.
 */
function expectOneReading(target: string, { url }: Recorded): void {
  const [path = "", query] = url.split("?", 2);
  expect(path).toMatch(/^\/v1\/(secret|sys)\/[A-Za-z0-9._~@+=,:/%-]*$/);
  expect(path.replaceAll("%20", "_")).not.toContain("%");
  for (const part of path.slice(1).split("/").slice(0, -1)) expect(["", ".", ".."]).not.toContain(part);
  expect(new URL(url, "https://vault").pathname).toBe(path);
  const [askedPath = "", askedQuery] = target.split("?", 2);
  expect(decodeURIComponent(path)).toBe(decodeURIComponent(askedPath));
  expect(query).toBe(askedQuery);
  if (query !== undefined) expect(query).toMatch(/^(version=[0-9]{1,9}|list=true|depth=[0-9]{1,9})$/);
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
        expect.soft([0, 400, 401, 404, 405], `${method} ${target}`).toContain(status);
        continue;
      }
      // Some pieces are harmless in some places, like a + in a name: then the path has one reading.
      harmless++;
      expect(sent).toHaveLength(1);
      expectOneReading(target, sent[0] as Recorded);
    }
  }
  line.close();
  expect(corpus.accepted).toEqual([]);
  expect(corpus.tried).toBeGreaterThan(1_500);
  expect(harmless).toBeLessThan(120);
});

const name = fc.string({ unit: fc.constantFrom(..."abzAZ09._~@+=,:-"), minLength: 1, maxLength: 8 });
const part = fc.oneof(
  { arbitrary: name, weight: 12 },
  {
    arbitrary: fc
      .tuple(name, fc.constantFrom("%20", "%40", "%2B", "%3d", "%7E"), name)
      .map((p) => p.join("")),
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
    fc.constantFrom("", "", "", "/", "?version=2", "?list=true", "?depth=1"),
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
