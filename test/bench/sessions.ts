import { execFile } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Dispatcher } from "undici";
import { createProgress } from "../../services/cli/progress.ts";
import { findVault } from "../../services/cli/vault-binary/find.ts";
import { Circuit } from "../../services/gateway/upstream/circuit.ts";
import { Logins } from "../../services/gateway/upstream/logins.ts";
import type { Upstream } from "../../services/gateway/upstream/upstreams.ts";
import type { Identity } from "../../services/shared/front/identity/authenticator.ts";
import { Secret } from "../../services/shared/secret.ts";
import { loginWithJwt } from "../../services/shared/vault/platform-jwt.ts";
import { type GatewayProcess, startGatewayProcess } from "../harness/gateway-process.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type OrgVault, startInternalVault, startOrgVault } from "../harness/vault.ts";
import type { Load, LoadResult } from "./load.ts";

/**
 * What callers' sessions cost a gateway: the first read of a new JWT, the memory of many live logins, and
 * whether its own memory stays where it is under load. Run with --expose-gc.
 */

const FIRST_READS = 200;
const SESSIONS = 100_000;
const SOAK_MINUTES = Number(process.env.BENCH_SOAK_MINUTES ?? 10);
const SLICE = 15_000;
const MEBIBYTE = 1024 * 1024;
const PATH = "/v1/secret/data/bench";
const LOAD = fileURLToPath(new URL("load.ts", import.meta.url));

interface Row {
  name: string;
  unit: string;
  target: number;
  result: number;
  verdict: "met" | "missed";
}

const rows: Row[] = [];

function record(name: string, unit: string, target: number, value: number): void {
  const result = Math.round(value * 100) / 100;
  rows.push({ name, unit, target, result, verdict: result <= target ? "met" : "missed" });
  process.stderr.write(`${name}: ${result} ${unit} (target ${target})\n`);
}

const at = (share: number, values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? Number.NaN;

/**
 * From a request with a JWT that the gateway has never seen to its answer: of someone whom the Vault knows from
 * an earlier JWT, and of someone whom it has never seen either, for whom it writes a new entity.
 */
async function firstReads(gateway: GatewayProcess, issuer: TestIssuer): Promise<void> {
  const newPeople: number[] = [];
  const newTokens: number[] = [];
  for (let n = 0; n < FIRST_READS; n++) {
    newPeople.push(await firstRead(gateway, issuer, n));
    newTokens.push(await firstRead(gateway, issuer, n));
  }
  record("first read of a new JWT, p50", "ms", 6, at(0.5, newTokens));
  record("first read of a person new to the Vault, p50", "ms", 6, at(0.5, newPeople));
}

async function firstRead(gateway: GatewayProcess, issuer: TestIssuer, person: number): Promise<number> {
  const token = issuer.token({ org_id: "org_acme", sub: `auth0|${person}`, jti: randomUUID() });
  const begun = performance.now();
  const answer = await fetch(`http://127.0.0.1:${gateway.port}${PATH}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`the gateway answered ${answer.status}`);
  return performance.now() - begun;
}

/** The gateway's own store of logins, filled by a Vault that answers at once with tokens of the real size. */
async function liveSessions(acme: OrgVault, issuer: TestIssuer): Promise<void> {
  const jwt = new Secret(issuer.token({ org_id: "org_acme" }));
  const { token } = await loginWithJwt(acme.endpoint, "jwt", "reader", jwt);
  const size = token.reveal().length;
  const dispatch = (_: object, handler: Dispatcher.DispatchHandler): boolean => {
    const client_token = randomBytes(size).toString("base64").slice(0, size);
    const controller = {} as Dispatcher.DispatchController;
    handler.onResponseStart?.(controller, 200, {});
    handler.onResponseData?.(controller, Buffer.from(JSON.stringify({ auth: { client_token } })));
    handler.onResponseEnd?.(controller, {});
    return true;
  };
  const upstream = {
    ...{ id: acme.org, address: acme.endpoint.address, pool: { dispatch }, pending: 0 },
    ...{ circuit: new Circuit(), times: { connectMs: 1_000, silenceMs: 1_000, wholeMs: 1_000 } },
  } as unknown as Upstream;
  const logins = new Logins({ maxKept: SESSIONS });
  const expiresAt = Math.floor(Date.now() / 1000) + 3_600;
  const used = () => {
    global.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  for (let n = 0; n < SESSIONS; n++) {
    const key = randomBytes(32).toString("base64url");
    const identity = { groups: [], expiresAt, key, token: jwt } as unknown as Identity;
    await logins.tokenFor(upstream, identity, "bench");
  }
  const after = used();
  if (logins.size !== SESSIONS) throw new Error(`only ${logins.size} sessions live`);
  record("100,000 live sessions, memory", "MiB", 100, (after - before) / MEBIBYTE);
  logins.close();
}

/** Resident memory over the run: the median of its last third to that of its second. The first warms up. */
async function soak(gateway: GatewayProcess, issuer: TestIssuer, folder: string): Promise<void> {
  const headersFile = join(folder, "jwt");
  const load: Load = {
    ...{ host: "127.0.0.1", port: gateway.port, headersFile, path: PATH, connections: 8, requests: SLICE },
  };
  const sizes: number[] = [];
  const end = Date.now() + SOAK_MINUTES * 60_000;
  while (Date.now() < end || sizes.length < 6) {
    const jwt = issuer.token({ org_id: "org_acme" });
    await writeFile(headersFile, `Authorization: Bearer ${jwt}`, { mode: 0o600 });
    const { stdout } = await promisify(execFile)(process.execPath, [LOAD, JSON.stringify(load)]);
    sizes.push((await gateway.rss()) / MEBIBYTE);
    const { seconds } = JSON.parse(stdout) as LoadResult;
    const rate = Math.round(SLICE / seconds);
    process.stderr.write(
      `  ${sizes.length}: ${Math.round(sizes.at(-1) ?? 0)} MiB resident, ${rate} reads/s\n`,
    );
  }
  const third = Math.floor(sizes.length / 3);
  const early = at(0.5, sizes.slice(third, 2 * third));
  const late = at(0.5, sizes.slice(-third));
  record(`resident memory over ${SOAK_MINUTES} minutes, last third to second`, "×", 1.1, late / early);
}

const { path: vaultBinary } = await findVault({ env: process.env, progress: createProgress(process.stderr) });
const folder = await mkdtemp(join(tmpdir(), "strongroom-bench-"));
const [internal, issuer] = await Promise.all([startInternalVault(vaultBinary), startIssuer()]);
const acme = await startOrgVault(internal, { claim: "org_acme", issuer });
let gateway: GatewayProcess | undefined;
try {
  await acme.root.write("secret/data/bench", { data: { value: "x".repeat(64) } });
  gateway = await startGatewayProcess({
    issuers: [issuer],
    ca: internal.ca,
    orgs: [{ id: acme.org, claim: "org_acme", address: acme.endpoint.address }],
    settings: { STRONGROOM_ORG_LIMIT: "0", STRONGROOM_ADDRESS_LIMIT: "0" },
  });
  await firstReads(gateway, issuer);
  await liveSessions(acme, issuer);
  await soak(gateway, issuer, folder);
  const [cpu] = cpus();
  process.stdout.write(
    `${JSON.stringify({ node: process.version, cpus: cpus().length, model: cpu?.model, rows }, null, 2)}\n`,
  );
} finally {
  await gateway?.stop();
  await acme.stop();
  await internal.stop();
  await issuer.close();
  await rm(folder, { recursive: true, force: true });
}
