import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BrokerPolicy } from "../../../services/shared/broker/policy.ts";
import { describeOnPostgresql, type PostgresqlServer, startPostgresql } from "../../harness/postgresql.ts";
import { rotationJobs } from "../../harness/rotation-jobs.ts";

const FIRST = "first-password-0123456789";
let server: PostgresqlServer;
let roles = 0;

const policyOf = ({ host, port }: Pick<PostgresqlServer, "host" | "port">, role: string): BrokerPolicy => ({
  origin: "https://db.example.com",
  inject: { header: "Authorization", format: "Bearer {}" },
  rules: [],
  rotation: { type: "postgresql", host, port, database: "postgres", role },
});
async function newRole(of = server) {
  const role = `App "role" ${++roles}`;
  await of.sql(`CREATE ROLE "${role.replaceAll('"', '""')}" LOGIN PASSWORD '${FIRST}'`);
  const { exception } = of;
  const jobs = rotationJobs(policyOf(of, role), {
    privateDestinations: new Map([[exception.origin, exception]]),
  });
  return { role, jobs };
}

describeOnPostgresql("a role of a real PostgreSQL", (programs) => {
  beforeAll(async () => {
    server = await startPostgresql(programs);
  });
  afterAll(() => server?.stop());

  test("gets a password that only the worker has known, and not even the log of statements has it", async () => {
    const { role, jobs } = await newRole();
    const made = await jobs.phase("make", FIRST);
    expect(await server.logsIn(role, FIRST)).toBe(true);
    const pending = { envelope: made.envelope ?? "" };
    await expect(jobs.phase("check", FIRST, { pending })).rejects.toMatchObject({
      failure: "provider_refused",
    });
    expect(await jobs.phase("apply", FIRST, { pending })).toMatchObject({ state: "rotated" });
    const value = await jobs.opened(made.envelope);
    expect(await server.logsIn(role, value)).toBe(true);
    expect(await server.logsIn(role, FIRST)).toBe(false);
    await jobs.phase("check", FIRST, { pending });
    const log = await server.log();
    expect(log).toContain("ALTER ROLE");
    expect(log).not.toContain(value);
  });

  test("applied a second time: nothing changes, and that is no failure", async () => {
    const { role, jobs } = await newRole();
    const { envelope = "" } = await jobs.phase("make", FIRST);
    const pending = { envelope };
    for (let times = 0; times < 3; times++) await jobs.phase("apply", FIRST, { pending });
    expect(await server.logsIn(role, await jobs.opened(envelope))).toBe(true);
  });

  test("neither password works: refused, and nothing is changed", async () => {
    const { role, jobs } = await newRole();
    const { envelope = "" } = await jobs.phase("make", "not-the-password");
    const applied = jobs.phase("apply", "not-the-password", { pending: { envelope } });
    await expect(applied).rejects.toMatchObject({ failure: "provider_refused" });
    expect(await server.logsIn(role, FIRST)).toBe(true);
  });

  test("a role that may not change itself: refused, with the server's code alone", async () => {
    const { role, jobs } = await newRole();
    await server.sql(`ALTER ROLE "${role.replaceAll('"', '""')}" SET default_transaction_read_only = on`);
    const { envelope = "" } = await jobs.phase("make", FIRST);
    const applied = jobs.phase("apply", FIRST, { pending: { envelope } });
    await expect(applied).rejects.toMatchObject({ message: expect.stringContaining("SQLSTATE 25006") });
    expect(await server.logsIn(role, FIRST)).toBe(true);
  });

  test("nothing is revoked: a role has one password", async () => {
    const { jobs } = await newRole();
    const revoked = jobs.phase("revoke", FIRST, { key: "any" });
    await expect(revoked).rejects.toMatchObject({ failure: "policy_mismatch" });
  });

  test.each(["password", "md5"])("a server that asks for %s gets nothing", async (auth) => {
    const weak = await startPostgresql(programs, { auth });
    try {
      const { jobs } = await newRole(weak);
      const { envelope = "" } = await jobs.phase("make", FIRST);
      const applied = jobs.phase("apply", FIRST, { pending: { envelope } });
      await expect(applied).rejects.toMatchObject({ message: expect.stringContaining("SCRAM-SHA-256") });
    } finally {
      await weak.stop();
    }
  });

  test("a server without TLS gets nothing", async () => {
    const clear = await startPostgresql(programs, { tls: false });
    try {
      const { jobs } = await newRole(clear);
      const checked = jobs.phase("check", FIRST, { pending: await jobs.material("another-1", 2) });
      await expect(checked).rejects.toMatchObject({ message: expect.stringContaining("no TLS") });
      expect(await clear.log()).not.toMatch(/host=127.0.0.1(.|\n)*user=/);
    } finally {
      await clear.stop();
    }
  });

  test("a server with another certificate gets nothing", async () => {
    const other = await startPostgresql(programs);
    try {
      const jobs = rotationJobs(policyOf(other, "app"), {
        privateDestinations: new Map([
          [other.exception.origin, { ...other.exception, ca: server.exception.ca ?? "" }],
        ]),
      });
      const checked = jobs.phase("check", FIRST, { pending: await jobs.material("another-1", 2) });
      await expect(checked).rejects.toMatchObject({ failure: "unreachable" });
      expect(await other.log()).not.toContain('user "app"');
    } finally {
      await other.stop();
    }
  });
});

describe("an address that is none of a database's", () => {
  test("that is not public is never dialled", async () => {
    const connected: string[] = [];
    const jobs = rotationJobs(policyOf({ host: "db.example.com", port: 5432 }, "app"), {
      resolve: async () => ["169.254.169.254"],
      connect: (address) => {
        connected.push(address);
        throw new Error("dialled");
      },
    });
    const checked = jobs.phase("check", FIRST, { pending: await jobs.material("another-1", 2) });
    await expect(checked).rejects.toMatchObject({ failure: "destination_refused" });
    expect(connected).toEqual([]);
  });

  test.each([
    "localhost",
    "127.0.0.1",
    "8.8.8.8",
    "db.example.com.",
    "[::1]",
    "db.example.c0m.1",
  ])("that is not a DNS name is never dialled: %s", async (host) => {
    const jobs = rotationJobs(policyOf({ host, port: 5432 }, "app"), {
      resolve: async () => ["8.8.8.8"],
      connect: () => {
        throw new Error("dialled");
      },
    });
    const checked = jobs.phase("check", FIRST, { pending: await jobs.material("another-1", 2) });
    await expect(checked).rejects.toMatchObject({ failure: "destination_refused" });
  });

  test.each([
    ["says no", (socket: Socket) => socket.write("N")],
    [
      "answers in clear after its yes",
      (socket: Socket) => socket.write(Buffer.from("SR\0\0\0\x08\0\0\0\x03")),
    ],
    ["is a web server", (socket: Socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["closes", (socket: Socket) => socket.destroy()],
  ])("that %s hears no more than the question for TLS", async (_, answer) => {
    let heard = Buffer.alloc(0);
    const peer = createServer((socket) => {
      socket
        .on("error", () => {})
        .on("data", (bytes) => {
          heard = Buffer.concat([heard, bytes]);
          if (heard.length === 8) answer(socket);
        });
    });
    await new Promise<void>((resolve) => peer.listen(0, "127.0.0.1", resolve));
    const { port } = peer.address() as AddressInfo;
    const origin = `postgresql://db.example.com:${port}`;
    const jobs = rotationJobs(policyOf({ host: "db.example.com", port }, "app"), {
      privateDestinations: new Map([[origin, { origin, address: "127.0.0.1" }]]),
    });
    const checked = jobs.phase("check", FIRST, { pending: await jobs.material("another-1", 2) });
    await expect(checked).rejects.toMatchObject({
      failure: expect.stringMatching(/provider_refused|unreachable/),
    });
    expect(heard.length).toBe(8);
    await new Promise((resolve) => peer.close(resolve));
  });
});
