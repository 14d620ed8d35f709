import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { createProgress } from "../../services/cli/progress.ts";
import { findVault } from "../../services/cli/vault-binary/find.ts";
import type { OrgView } from "../../services/shared/api/orgs.ts";
import { Stage } from "../control-plane/stage.ts";
import { installMoto, type Moto } from "../harness/aws/install-moto.ts";
import { startInternalCluster } from "../harness/aws/internal-cluster.ts";
import { startMoto } from "../harness/aws/moto.ts";
import { AwsStage } from "../harness/aws/stage.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";
import { startIssuer } from "../harness/tokens.ts";
import { startOrgVault } from "../harness/vault.ts";

/** One measured number: the median of its runs against its target, both in ms. */
interface Row {
  name: string;
  target: number;
  result: number;
  runs: number[];
  verdict: "met" | "missed";
}

const ORGS = 10;
const RUNS = 3;
const ASK_MS = 20;
const GIVE_UP_MS = 120_000;

const rows: Row[] = [];

function record(name: string, target: number, values: number[]): void {
  const runs = values.map(Math.round);
  const result = runs.toSorted((a, b) => a - b)[Math.floor(runs.length / 2)] as number;
  rows.push({ name, target, result, runs, verdict: result <= target ? "met" : "missed" });
  process.stderr.write(`${name}: ${result} ms (target ${target})\n`);
}

/** Organizations of a control plane on the emulator, and a gateway before them. */
class Platform {
  readonly aws: AwsStage;
  readonly stage: Stage;
  readonly gateway: TestGateway;
  readonly orgs: OrgView[] = [];

  private constructor(aws: AwsStage, stage: Stage, gateway: TestGateway) {
    this.aws = aws;
    this.stage = stage;
    this.gateway = gateway;
  }

  static async open(vaultBinary: string, emulator: Moto): Promise<Platform> {
    const aws = await AwsStage.open({ emulator, vaultBinary, instances: 2 });
    const stage = await Stage.open({ vaultBinary, settings: aws.settings });
    await stage.startControlPlane();
    const gateway = await startGateway({ issuers: [stage.issuer], ca: stage.internal.ca, orgs: [] });
    return new Platform(aws, stage, gateway);
  }

  async onboard(name: string): Promise<number> {
    const begun = performance.now();
    const org = await this.stage.onboard(name);
    const ms = performance.now() - begun;
    await this.stage.writeSecret(org, name);
    this.orgs.push(org);
    await this.gateway.publish(
      this.orgs.map(({ id, claim, listen }) => ({ id, claim, address: `https://${listen}` })),
    );
    return ms;
  }

  async reads({ claim }: OrgView): Promise<boolean> {
    const token = this.stage.issuer.token({ org_id: claim });
    return (await this.gateway.call("GET", "/v1/secret/data/app/db", { token })).status === 200;
  }

  /** Waits until an organization is read, or is not. */
  async until(org: OrgView, served: boolean): Promise<void> {
    for (const begun = performance.now(); (await this.reads(org)) !== served; await sleep(ASK_MS)) {
      if (performance.now() - begun > GIVE_UP_MS) throw new Error(`${org.name}: waited too long`);
    }
  }

  async close(): Promise<void> {
    await this.gateway.close();
    await this.stage.close();
    await this.aws.close();
  }
}

async function organizations(vaultBinary: string, emulator: Moto): Promise<void> {
  const platform = await Platform.open(vaultBinary, emulator);
  try {
    const alone: number[] = [];
    for (let n = 0; n < ORGS; n++) alone.push(await platform.onboard(`org-${n}`));
    record("onboarding through the harness, request to ready", 8_000, alone);
    await kills(platform);
    await replacements(platform);
    await lostInstance(platform);
  } finally {
    await platform.close();
  }
}

async function kills(platform: Platform): Promise<void> {
  const [org] = platform.orgs as [OrgView];
  const runs: number[] = [];
  for (let n = 0; n < RUNS; n++) {
    await steady(platform);
    const [task] = platform.aws.tasks(org.id);
    const begun = performance.now();
    process.kill(task?.pid ?? 0, "SIGKILL");
    await task?.ended;
    await platform.until(org, true);
    runs.push(performance.now() - begun);
  }
  record("kill -9 of an organization's task to the next read through the gateway", 20_000, runs);
}

async function replacements(platform: Platform): Promise<void> {
  const [org] = platform.orgs as [OrgView];
  const runs: number[] = [];
  for (let n = 0; n < RUNS; n++) {
    await steady(platform);
    // What a new certificate and a new unseal token come to.
    await platform.stage.registry.orgs.update(org.id, (record) => ({ ...record, reload: record.reload + 1 }));
    await platform.until(org, false);
    const begun = performance.now();
    await platform.until(org, true);
    runs.push(performance.now() - begun);
  }
  record("a graceful replacement, from the last read to the next", 5_000, runs);
}

async function lostInstance(platform: Platform): Promise<void> {
  await steady(platform);
  const everything = platform.orgs.flatMap(({ id }) => platform.aws.tasks(id));
  const begun = performance.now();
  for (const task of everything) task.kill("TerminationNotice", "Host EC2 instance terminated");
  await Promise.all(everything.map(({ ended }) => ended));
  await Promise.all(platform.orgs.map((org) => platform.until(org, true)));
  record(`an instance with ${ORGS} tasks is lost, until all are read again`, 30_000, [
    performance.now() - begun,
  ]);
}

/** Waits until ECS has nothing to do: a task that was not yet well is started again more slowly. */
async function steady({ aws, orgs }: Platform): Promise<void> {
  const isWell = () => orgs.every(({ id }) => aws.tasks(id).every(({ health }) => health === "HEALTHY"));
  while (!isWell()) await sleep(100);
}

async function internalLeader(vaultBinary: string, emulator: Moto): Promise<void> {
  const moto = await startMoto(emulator);
  const cluster = await startInternalCluster(vaultBinary, moto.endpoint);
  const issuer = await startIssuer();
  const claims = Array.from({ length: 3 }, (_, n) => `org_${n}`);
  const orgs = await Promise.all(
    claims.map((claim) => startOrgVault(cluster, { claim, issuer, configure: false })),
  );
  try {
    const states = await Promise.all(cluster.nodes.map((node) => node.state()));
    const begun = performance.now();
    await cluster.nodes[states.indexOf("active")]?.server.end("SIGKILL");
    await Promise.all(
      orgs.map(async (org) => {
        while (
          !(await org.restart({ signal: "SIGKILL" }).then(
            () => true,
            () => false,
          ))
        ) {
          if (performance.now() - begun > GIVE_UP_MS) throw new Error("it does not unseal");
          await sleep(ASK_MS);
        }
      }),
    );
    record("the internal leader is killed while Vaults unseal, until all have", 30_000, [
      performance.now() - begun,
    ]);
  } finally {
    await Promise.all(orgs.map((org) => org.stop()));
    await issuer.close();
    await cluster.stop();
    await moto.stop();
  }
}

const { path } = await findVault({ env: process.env, progress: createProgress(process.stderr) });
const emulator = await installMoto(process.env);
await organizations(path, emulator);
await internalLeader(path, emulator);
const missed = rows.filter(({ verdict }) => verdict === "missed").length;
process.stdout.write(
  `${JSON.stringify({ node: process.version, cpus: cpus().length, model: cpus()[0]?.model, missed, rows }, null, 2)}\n`,
);
