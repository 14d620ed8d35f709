import { randomUUID } from "node:crypto";
import { pino } from "pino";
import { afterEach, beforeEach, expect } from "vitest";
import { buildMetricsServer, Metrics } from "../../../services/gateway/record/metrics.ts";
import { test } from "../../harness/fixtures.ts";
import { startGateway, type TestGateway } from "../../harness/gateway.ts";
import type { Recorder } from "../../harness/recorder.ts";
import type { TestIssuer } from "../../harness/tokens.ts";
import type { InternalVault } from "../../harness/vault.ts";

const PATH = "/v1/secret/data/very/private";

let internal: InternalVault;
let issuer: TestIssuer;
let acme: Recorder;
let metrics: Metrics;
let gateway: TestGateway;
test.beforeAll(({ recordedOrg }) => {
  ({ internal, issuer, recorder: acme } = recordedOrg);
});
beforeEach(async () => {
  acme.answer = undefined;
  metrics = new Metrics();
  const orgs = [{ id: acme.org, claim: "org_acme", address: acme.address }];
  gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs, metrics });
});
afterEach(() => gateway.close());

/** The value of a series; undefined where there is none. */
async function value(series: string): Promise<number | undefined> {
  const line = (await metrics.text()).split("\n").find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

const requests = (route: string, decision: string, reason: string) =>
  value(`strongroom_gateway_requests_total{route="${route}",decision="${decision}",reason="${reason}"}`);

test("requests are counted by route, decision and reason", async () => {
  const token = issuer.token();
  for (let i = 0; i < 3; i++) await gateway.call("GET", PATH, { token });
  await gateway.call("GET", PATH);
  await gateway.call("GET", PATH, { token: issuer.token({ aud: "x" }) });
  await gateway.call("GET", "/v1/sys/policies", { token });
  await gateway.call("GET", "/v1/secret/data/../x", { token });
  await gateway.call("GET", "/v1/sys/health");
  acme.answer = (_request, response) => response.writeHead(403).end('{"errors":["permission denied"]}');
  await gateway.call("GET", PATH, { token });
  acme.answer = (_request, response) => response.socket?.destroy();
  await gateway.call("GET", PATH, { token });
  await expect.poll(() => requests("secret/data", "failed", "org_vault_unavailable")).toBe(1);
  expect(await requests("secret/data", "allowed", "ok")).toBe(3);
  expect(await requests("secret/data", "allowed", "answer_403")).toBe(1);
  expect(await requests("secret/data", "refused", "token_missing")).toBe(1);
  expect(await requests("secret/data", "refused", "audience")).toBe(1);
  expect(await requests("none", "refused", "not_served")).toBe(1);
  expect(await requests("none", "refused", "invalid_path")).toBe(1);
  expect(await requests("sys/health", "allowed", "ok")).toBe(1);
  expect(await value('strongroom_gateway_request_seconds_count{route="secret/data"}')).toBe(7);
  expect(await value("strongroom_gateway_upstream_seconds_count")).toBe(4);
  expect(await value("strongroom_gateway_logins")).toBe(1);
  expect(await value("strongroom_gateway_organizations")).toBe(1);
  expect(await value("strongroom_gateway_directory_version")).toBe(1);
  expect(await value("strongroom_gateway_open_circuits")).toBe(0);
  expect(await value("process_resident_memory_bytes")).toBeGreaterThan(0);
});

test("callers cannot add series, and no label names anyone", async () => {
  const series = async () =>
    (await metrics.text()).split("\n").filter((line) => /^strongroom/.test(line)).length;
  const ask = (i: number) =>
    Promise.all([
      gateway.call("GET", `/v1/secret/data/path-${i}`, { token: issuer.token({ sub: `person-${i}` }) }),
      gateway.call("GET", PATH, { token: issuer.token({ org_id: `org-${i}` }) }),
      gateway.call("GET", `/v1/path-${i}`),
      gateway.call(i % 2 ? "PURGE" : "LOCK", PATH, { token: issuer.token({}, { kid: randomUUID() }) }),
    ]);
  await ask(0);
  await ask(1);
  const before = await series();
  for (let i = 2; i < 100; i++) await ask(i);
  expect(await series()).toBe(before);
  for (const name of ["path-", "person-", "org-", "org_acme", acme.org, "private", "PURGE"]) {
    expect(await metrics.text()).not.toContain(name);
  }
});

test("too many unforeseen codes share one series", async () => {
  const line = { requestId: "r", org: undefined, subject: undefined, method: "GET", route: "r", status: 500 };
  for (let i = 0; i < 2_000; i++) {
    metrics.observe({ ...line, decision: "failed", reason: `E${i}`, ms: 1, upstreamMs: undefined });
  }
  const series = (await metrics.text()).match(/^strongroom_gateway_requests_total\{/gm) ?? [];
  expect(series.length).toBe(1_001);
  expect(await requests("r", "failed", "other")).toBe(1_000);
});

test("metrics have a separate server, and the gateway's port does not serve them", async () => {
  const server = buildMetricsServer(metrics, pino({ level: "silent" }));
  const answer = await server.inject("/metrics");
  expect(answer.statusCode).toBe(200);
  expect(answer.headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(answer.body).toContain("# TYPE strongroom_gateway_requests_total counter");
  expect((await server.inject("/v1/secret/data/x")).statusCode).toBe(404);
  await server.close();
  const admin = issuer.token({ [issuer.issuer.groupsClaim]: ["admin"] });
  for (const path of ["/metrics", "/v1/metrics", "/v1/sys/metrics"]) {
    expect((await gateway.call("GET", path)).status).toBe(401);
    expect((await gateway.call("GET", path, { token: admin })).status).toBe(403);
  }
});
