import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Writable } from "node:stream";
import { SSMClient } from "@aws-sdk/client-ssm";
import type { EcsCluster } from "../../../services/ecs-emulator/cluster.ts";
import { type RunningEcs, startEcs } from "../../../services/ecs-emulator/start.ts";
import type { Task } from "../../../services/ecs-emulator/task.ts";
import type { Cell } from "../../../services/shared/aws/cell.ts";
import { orgNames } from "../../../services/shared/aws/names.ts";
import { createLogger } from "../../../services/shared/log.ts";
import { awsEnvironment, clientOf, IMAGE, makeCell, NAMESPACE, REGION } from "./cell.ts";
import type { Moto } from "./install-moto.ts";
import { Inventory } from "./inventory.ts";
import { type MotoServer, startMoto } from "./moto.ts";
import { resolveBy } from "./resolver.ts";
import { startWire, type Wire } from "./wire.ts";

export interface AwsOptions {
  emulator: Moto;
  vaultBinary: string;
  cell?: Partial<Cell>;
  instances?: number;
  /** Between starts of a task that fails. */
  backoff?: { firstMs: number; mostMs: number };
}

/** ECS's own would make tests wait for minutes. */
const BACKOFF = { firstMs: 500, mostMs: 2_000 };

/**
 * AWS as far as this project needs it: an emulator for the APIs, services/ecs-emulator for what ECS runs, and a wire on
 * which calls can go wrong.
 */
export class AwsStage {
  readonly moto: MotoServer;
  readonly wire: Wire;
  readonly cell: Cell;
  readonly inventory: Inventory;
  /** What the emulator has logged. */
  log = "";
  readonly #running: RunningEcs;
  readonly #folder: string;
  readonly #stopResolving: () => void;

  private constructor(parts: Pick<AwsStage, "moto" | "wire" | "cell">, running: RunningEcs, folder: string) {
    this.moto = parts.moto;
    this.wire = parts.wire;
    this.cell = parts.cell;
    this.inventory = new Inventory(this.moto.endpoint, this.cell);
    this.#running = running;
    this.#folder = folder;
    this.#stopResolving = resolveBy(this.moto.endpoint, NAMESPACE);
  }

  static async open({
    emulator,
    vaultBinary,
    cell: changes,
    instances = 1,
    backoff = BACKOFF,
  }: AwsOptions): Promise<AwsStage> {
    const folder = await mkdtemp(join(tmpdir(), "strongroom-aws-"));
    const moto = await startMoto(emulator);
    const cell = await makeCell(moto.endpoint, changes);
    let stage: AwsStage | undefined;
    const destination = new Writable({
      write: (chunk, _, done) => {
        if (stage) stage.log += chunk;
        done();
      },
    });
    const upstreams = { ecs: moto.endpoint, others: moto.endpoint };
    const wire = await startWire(upstreams);
    const running = await startEcs(
      {
        cluster: cell.cluster,
        region: REGION,
        emulator: moto.endpoint,
        listen: { host: "127.0.0.1", port: 0 },
      },
      {
        folder,
        vaultBinary,
        logger: createLogger("ecs-emulator", "info", destination),
        // Over the wire too, where SSM can be made to fail.
        ssm: new SSMClient(clientOf(wire.url)),
        images: [IMAGE],
        instances,
        backoff,
      },
    );
    upstreams.ecs = running.url;
    stage = new AwsStage({ moto, wire, cell }, running, folder);
    return stage;
  }

  /** Settings of a control plane that runs its organizations here. */
  get settings(): Record<string, string> {
    return {
      ...awsEnvironment(this.wire.url),
      STRONGROOM_RUNTIME: "ecs",
      STRONGROOM_CELL: JSON.stringify(this.cell),
      STRONGROOM_PARAMETERS: "ssm",
      EMULATOR_ENDPOINT: this.moto.endpoint,
      EMULATED_NAMESPACE: NAMESPACE,
      NODE_OPTIONS: `--import=${resolve("test/harness/aws/resolver.ts")}`,
    };
  }

  /** What runs here, for whoever wants to harm it. */
  get cluster(): EcsCluster {
    return this.#running.cluster;
  }

  /** The tasks of an organization that have not ended. */
  tasks(org: string): Task[] {
    return this.cluster.services.get(orgNames(org).service)?.alive ?? [];
  }

  async close(): Promise<void> {
    this.#stopResolving();
    await this.#running.close();
    await this.wire.close();
    await this.moto.stop();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
