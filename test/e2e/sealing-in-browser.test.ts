import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { stripTypeScriptTypes } from "node:module";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  makeSealingKeyPair,
  openValue,
  type SealingContext,
  sealResult,
  sealValue,
  toBase64Url,
} from "../../services/shared/envelope/sealing.ts";
import { findChromium } from "../harness/chromium.ts";
import { bytes, CONTEXT } from "../shared/envelope/contract.ts";

/*
 * The module as it is, with its types stripped and nothing bundled, in a page: it and what it imports come over
 * loopback, which counts as a secure context. So a Node module or a global of Node's anywhere in it fails here.
 */

const SHARED = new URL("../../services/shared/", import.meta.url);
const HPKE = new URL(import.meta.resolve("hpke"));
const PAGE = `<!doctype html><script type="importmap">{"imports":{"hpke":"/hpke.js"}}</script>
<script type="module">import * as sealing from "/shared/envelope/sealing.ts"; globalThis.sealing = sealing;</script>`;
const SEALED_FOR: SealingContext = { ...CONTEXT, key: "kaaaaaaaaaaaaaaa" };
const JOB = { org: CONTEXT.org, job: "jaaaaaaaaaaaaaaaaaaaaaaaaaa" };

const path = findChromium();
let server: Server;
let browser: Browser;
let origin: string;
const served: string[] = [];

beforeAll(async () => {
  if (!path) return;
  server = createServer(async (request, response) => {
    const file = String(request.url);
    served.push(file);
    const script = () => response.setHeader("content-type", "text/javascript");
    try {
      if (file === "/") response.setHeader("content-type", "text/html").end(PAGE);
      else if (file === "/hpke.js") script().end(await readFile(HPKE));
      else if (/^\/shared\/[a-z/-]+\.ts$/.test(file)) {
        const source = await readFile(fileURLToPath(new URL(file.replace("/shared/", "./"), SHARED)), "utf8");
        script().end(stripTypeScriptTypes(source));
      } else response.writeHead(404).end();
    } catch {
      response.writeHead(500).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox"], env: {} });
});

afterAll(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
});

type Sealing = typeof import("../../services/shared/envelope/sealing.ts");

/** A page that has loaded the module, the module in it, and what went wrong there. */
async function openPage() {
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(origin);
  const found = await page.waitForFunction(() => (globalThis as { sealing?: Sealing }).sealing);
  const sealing = await found.evaluateHandle((module) => module as Sealing);
  return { sealing, problems };
}

test("seals in a real browser, opens in Node (skipped: no Chromium)", async ({ skip }) => {
  if (!path) return skip("there is no Chromium");
  const { publicKey, privateKey } = await makeSealingKeyPair();
  const { sealing, problems } = await openPage();
  const { sealed, length } = await sealing.evaluate(
    async (module, { point, context }) => {
      const secret = new TextEncoder().encode("sk-live-canary");
      const value = await module.sealValue(module.fromBase64Url(point), context, secret);
      return { sealed: value, length: await module.checkSealed(value, context.key) };
    },
    { point: toBase64Url(publicKey), context: SEALED_FOR },
  );
  expect(problems).toEqual([]);
  expect(length).toBe(14);
  expect(await openValue(privateKey, SEALED_FOR, sealed)).toEqual(bytes("sk-live-canary"));
  expect([...new Set(served)].filter((file) => /\.[jt]s$/.test(file)).sort()).toEqual([
    "/hpke.js",
    "/shared/envelope/context.ts",
    "/shared/envelope/envelope-refused.ts",
    "/shared/envelope/sealing.ts",
  ]);
});

test("opens in a real browser what Node sealed (skipped: no Chromium)", async ({ skip }) => {
  if (!path) return skip("there is no Chromium");
  const { sealing, problems } = await openPage();
  const pair = await sealing.evaluateHandle((module) => module.makeSealingKeyPair());
  const point = await pair.evaluate(({ publicKey }) => [...publicKey]);
  const value = await sealValue(Uint8Array.from(point), SEALED_FOR, bytes("a value"));
  const answer = await sealResult(Uint8Array.from(point), JOB, bytes("an answer"));
  const opened = await sealing.evaluate(
    async (module, { pair, value, answer, context, job }) => {
      const plain = [
        await module.openValue(pair.privateKey, context, value),
        await module.openResult(pair.privateKey, job, answer),
      ];
      return plain.map((each) => new TextDecoder().decode(each));
    },
    { pair, value, answer, context: SEALED_FOR, job: JOB },
  );
  expect(opened).toEqual(["a value", "an answer"]);
  expect(problems).toEqual([]);
});
