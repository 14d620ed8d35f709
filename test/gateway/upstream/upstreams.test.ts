import type { Pool } from "undici";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Upstream, Upstreams } from "../../../services/gateway/upstream/upstreams.ts";
import type {
  DirectoryOrg,
  LoadedDirectory,
} from "../../../services/shared/front/published/directory-source.ts";

/** What pools were made with, in order: the connections that they make are tested with real Vaults. */
const made = vi.hoisted((): { url: string; options: Pool.Options }[] => []);
vi.mock("undici", async (original) => {
  const undici = await original<typeof import("undici")>();
  return {
    ...undici,
    Pool: class extends undici.Pool {
      constructor(url: string, options: Pool.Options) {
        super(url, options);
        made.push({ url, options });
      }
    },
  };
});

const org = (id: string, address: string): DirectoryOrg => ({ id, issuer: "i", claim: id, address });
const acme = org("oaaaaaaaaaaaaaaa", "https://127.0.0.1:1");
const globex = org("obbbbbbbbbbbbbbb", "https://127.0.0.1:2");
const directoryOf = (...orgs: DirectoryOrg[]) =>
  ({ version: 1, issuers: [], orgs }) as unknown as LoadedDirectory;
const both = directoryOf(acme, globex);

let upstreams: Upstreams;
beforeEach(() => {
  made.length = 0;
  upstreams = new Upstreams("the authority");
});
afterEach(() => upstreams.close());

test("connections are bounded in number and time, and each handshake verifies the certificate", () => {
  const { id, address, pending, times } = upstreams.of(acme, both);
  expect({ id, address, pending }).toEqual({ id: acme.id, address: acme.address, pending: 0 });
  expect(times).toEqual({ connectMs: 2_000, silenceMs: 10_000, wholeMs: 30_000 });
  expect(made).toEqual([
    {
      url: acme.address,
      options: {
        ...{ connections: 32, pipelining: 1, keepAliveTimeout: 60_000, keepAliveMaxTimeout: 60_000 },
        ...{ headersTimeout: 10_000, bodyTimeout: 10_000, allowH2: false },
        connect: {
          ca: "the authority",
          servername: `${acme.id}.org.strongroom.internal`,
          ...{ rejectUnauthorized: true, timeout: 2_000, maxCachedSessions: 0 },
        },
      },
    },
  ]);
});

test("an organization keeps its upstream across directory versions", () => {
  const first = upstreams.of(acme, both);
  expect(upstreams.of(acme, both)).toBe(first);
  expect(upstreams.of(acme, directoryOf(acme))).toBe(first);
  expect(upstreams.of(globex, both)).not.toBe(first);
  expect(made).toHaveLength(2);
});

test("an upstream that left the directory, or moved, is dropped; others stay", () => {
  const [first, other] = [upstreams.of(acme, both), upstreams.of(globex, both)];
  const moved = org(acme.id, "https://127.0.0.1:3");
  const next = directoryOf(moved, globex);
  const second = upstreams.of(moved, next);
  expect(second).not.toBe(first);
  expect(second.address).toBe(moved.address);
  expect([first, second, other].map(({ pool }) => pool.closed)).toEqual([true, false, false]);
  upstreams.of(globex, directoryOf(globex));
  expect([second, other].map(({ pool }) => pool.closed)).toEqual([true, false]);
});

test("an upstream whose server key changes in the directory is dropped, with its connections", () => {
  const first = upstreams.of(acme, both);
  const keyed = { ...acme, serverKey: "A".repeat(43) };
  const second = upstreams.of(keyed, directoryOf(keyed, globex));
  expect(second).not.toBe(first);
  expect([first.pool.closed, second.serverKey]).toEqual([true, keyed.serverKey]);
  expect(upstreams.of(keyed, directoryOf(keyed))).toBe(second);
  expect(made.at(-1)?.options.connect).toMatchObject({ checkServerIdentity: expect.any(Function) });
});

test("open circuits and pending requests are counted", () => {
  const [first, second] = [upstreams.of(acme, both), upstreams.of(globex, both)] as [Upstream, Upstream];
  expect(upstreams.counts()).toEqual({ openCircuits: 0, pending: 0 });
  first.pending = 2;
  second.pending = 3;
  for (let i = 0; i < 5; i++) second.circuit.failed({ code: "UND_ERR_HEADERS_TIMEOUT" }, i);
  expect(upstreams.counts()).toEqual({ openCircuits: 1, pending: 5 });
});

test("closing aborts requests in progress", async () => {
  const { pool } = upstreams.of(acme, both);
  await upstreams.close();
  expect(pool.destroyed).toBe(true);
});
