import { generateKeyPairSync } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { IssuerKeys } from "../../../../services/shared/front/identity/issuer-keys.ts";
import { newPair, publicJwk, publicPem, type SigningPair } from "../../../harness/tokens.ts";

const pair = newPair("ES256", "k1");
const pemOf = (of: SigningPair) => publicPem(of).trimEnd();
const header = ({ alg, kid }: SigningPair) => ({ alg, kid });
const MINUTE = 60_000;
const DAY = 24 * 3_600_000;

/** What the issuer answers; undefined while it hangs up. */
let answer: { status: number; body: string; location?: string } | undefined;
let fetches: number;
let server: Server;
let uri: string;
let log: { level: number; msg: string; reason: string; jwksUri: string }[];
let keys: IssuerKeys;

const serve = (...pairs: SigningPair[]) => {
  answer = { status: 200, body: JSON.stringify({ keys: pairs.map(publicJwk) }) };
};

beforeEach(async () => {
  server = createServer((request, response) => {
    fetches++;
    if (answer) {
      const { status, body, location } = answer;
      response.writeHead(status, { Connection: "close", ...(location && { Location: location }) }).end(body);
    } else request.socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  vi.useFakeTimers({ toFake: ["Date", "setInterval", "clearInterval"] });
  fetches = 0;
  log = [];
  serve(pair);
  keys = new IssuerKeys(uri, {
    logger: pino({}, { write: (line: string) => void log.push(JSON.parse(line)) }),
  });
});
afterEach(async () => {
  keys.close();
  vi.useRealTimers();
  vi.restoreAllMocks();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** Passes without a timer going off. */
const pass = (ms: number) => vi.setSystemTime(Date.now() + ms);
const refusal = (reason: string) => expect.objectContaining({ reason });
const unreachable = expect.objectContaining({ code: "issuer_keys_unreachable" });

/** Lets time pass up to the next fetch of the keys' own timer, and waits until it is over. */
async function reloaded(): Promise<void> {
  const before = keys.current;
  vi.advanceTimersByTime(MINUTE);
  await expect.poll(() => keys.current).not.toBe(before);
}

test("a key is found by its kid, as PEM", async () => {
  expect(keys.current).toBeUndefined();
  expect(await keys.find(header(pair))).toBe(pemOf(pair));
  expect(await keys.find(header(pair))).toBe(pemOf(pair));
  expect(fetches).toBe(1);
  await expect(keys.find({ alg: "ES256", kid: "other" })).rejects.toThrow(refusal("kid_unknown"));
  await expect(keys.find({ alg: "RS256", kid: "k1" })).rejects.toThrow(refusal("kid_unknown"));
});

describe("the keys are fetched every minute, without a request", () => {
  test("a key that its issuer has withdrawn is refused from then on", async () => {
    await keys.find(header(pair));
    serve(newPair("ES256", "k2"));
    const begun = vi.spyOn(globalThis, "fetch");
    vi.advanceTimersByTime(MINUTE - 1);
    expect(begun).toHaveBeenCalledTimes(0);
    expect(await keys.find(header(pair))).toBe(pemOf(pair));
    const before = keys.current;
    vi.advanceTimersByTime(1);
    expect(begun).toHaveBeenCalledTimes(1);
    await expect.poll(() => keys.current).not.toBe(before);
    await expect(keys.find(header(pair))).rejects.toThrow(refusal("kid_unknown"));
    expect(fetches).toBe(2);
    await reloaded();
    expect(fetches).toBe(3);
  });

  test("however recently a request fetched them", async () => {
    await keys.find(header(pair));
    pass(45_000);
    await expect(keys.find({ alg: "ES256", kid: "new" })).rejects.toThrow(refusal("kid_unknown"));
    expect(fetches).toBe(2);
    serve(newPair("ES256", "k2"));
    await reloaded();
    await expect(keys.find(header(pair))).rejects.toThrow(refusal("kid_unknown"));
  });

  test("until closed", async () => {
    expect(vi.getTimerCount()).toBe(1);
    keys.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("while the address does not answer", () => {
  test("keys stay trusted for a day since their fetch, and not longer", async () => {
    await keys.find(header(pair));
    answer = undefined;
    pass(DAY - 1);
    expect(await keys.find(header(pair))).toBe(pemOf(pair));
    expect(fetches).toBe(1);
    pass(1);
    expect(keys.current).toBeUndefined();
    await expect(keys.find(header(pair))).rejects.toThrow(unreachable);
  });

  test("without any keys it is fetched once a second, however many requests wait", async () => {
    answer = undefined;
    const many = await Promise.allSettled(Array.from({ length: 20 }, () => keys.find(header(pair))));
    expect(many.map(({ status }) => status)).toEqual(many.map(() => "rejected"));
    await expect(keys.find(header(pair))).rejects.toThrow("The token issuer's keys cannot be fetched now.");
    expect(fetches).toBe(1);
    serve(pair);
    pass(999);
    await expect(keys.find(header(pair))).rejects.toThrow(unreachable);
    expect(fetches).toBe(1);
    pass(1);
    expect(await keys.find(header(pair))).toBe(pemOf(pair));
    expect(fetches).toBe(2);
  });
});

test("an unknown kid causes one fetch in thirty seconds", async () => {
  await keys.find(header(pair));
  const next = newPair("ES256", "k2");
  serve(pair, next);
  pass(29_999);
  await expect(keys.find(header(next))).rejects.toThrow(refusal("kid_unknown"));
  expect(fetches).toBe(1);
  pass(1);
  expect(await keys.find(header(next))).toBe(pemOf(next));
  expect(fetches).toBe(2);
});

test("and one in thirty seconds also while fetching fails", async () => {
  await keys.find(header(pair));
  answer = undefined;
  for (const [ms, expected] of [
    [30_000, 2],
    [29_999, 2],
    [1, 3],
  ] as const) {
    pass(ms);
    await expect(keys.find({ alg: "ES256", kid: "new" })).rejects.toThrow(refusal("kid_unknown"));
    expect(fetches).toBe(expected);
  }
});

describe("an unsuitable key", () => {
  const rsa = (bits: number): SigningPair => ({
    ...{ alg: "RS256", kid: `rsa-${bits}` },
    ...generateKeyPairSync("rsa", { modulusLength: bits }),
  });
  test("RSA of less than 2048 bits", async () => {
    const [short, enough] = [rsa(2047), rsa(2048)];
    serve(short, enough);
    expect(await keys.find(header(enough))).toBe(pemOf(enough));
    await expect(keys.find(header(short))).rejects.toThrow(refusal("key_unfit"));
  });

  test("two keys with one kid, and a secret key", async () => {
    serve(newPair("ES256", "twice"), newPair("ES256", "twice"), {
      ...pair,
      kid: "secret",
      publicKey: pair.privateKey,
    });
    await expect(keys.find({ alg: "ES256", kid: "twice" })).rejects.toThrow(refusal("key_unfit"));
    await expect(keys.find({ alg: "ES256", kid: "secret" })).rejects.toThrow(refusal("key_unfit"));
  });
});

describe("the response of the JWKS address", () => {
  const padded = (bytes: number) => JSON.stringify({ keys: [publicJwk(pair)] }).padEnd(bytes, " ");

  test("is read up to 256 KiB", async () => {
    answer = { status: 200, body: padded(262_144) };
    expect(await keys.find(header(pair))).toBe(pemOf(pair));
    answer.body = padded(262_145);
    pass(30_000);
    await keys.reload();
    expect(log).toMatchObject([
      {
        level: 40,
        msg: "cannot fetch the issuer's keys",
        reason: "the answer is larger than 262144 bytes",
      },
    ]);
    expect(log[0]?.jwksUri).toBe(uri);
    expect(await keys.find(header(pair))).toBe(pemOf(pair));
  });

  test("counts only with status 200, and a redirect is not followed", async () => {
    for (const status of [201, 302, 500]) {
      answer = { status, body: padded(1), location: uri };
      pass(1_000);
      await expect(keys.find(header(pair))).rejects.toThrow(unreachable);
    }
    expect(fetches).toBe(3);
    expect(log.map(({ reason }) => reason)).toEqual(Array(3).fill("ERR_JOSE_GENERIC"));
  });

  test("times out after five seconds", async () => {
    const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(AbortSignal.abort());
    await expect(keys.find(header(pair))).rejects.toThrow(unreachable);
    expect(timeout.mock.calls).toEqual([[5_000]]);
  });

  test("no response: the log says why", async () => {
    await new Promise((resolve) => server.close(resolve));
    await keys.reload();
    await keys.reload();
    expect(log.map(({ reason }) => reason)).toEqual(["ECONNREFUSED", "the last fetch was just now"]);
  });
});
