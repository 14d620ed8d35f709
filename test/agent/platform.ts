import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Writable } from "node:stream";
import { Agent, type AgentOptions } from "../../services/agent/agent.ts";
import { ProcessRuntime } from "../../services/control-plane/runtime/process.ts";
import type { InstanceSpec, InstanceStatus } from "../../services/shared/instance-spec.ts";
import { createLogger } from "../../services/shared/log.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { localParameterStore } from "../../services/shared/parameters/local.ts";
import { processesWith, until } from "../shared/process/programs.ts";

/** A folder with everything an agent needs, and the control plane's side of it. */
export class TestPlatform {
  readonly folder: string;
  readonly instances: string;
  readonly runtime: ProcessRuntime;
  readonly parameters;
  readonly vaultBinary: string;
  /** What agents of this process have logged. */
  log = "";
  #agents: Agent[] = [];
  #processes: ChildProcess[] = [];

  private constructor(folder: string, vaultBinary: string) {
    this.folder = folder;
    this.vaultBinary = vaultBinary;
    this.instances = join(folder, "instances");
    this.runtime = new ProcessRuntime(this.instances);
    this.parameters = localParameterStore(join(folder, "parameters"));
  }

  static async create(vaultBinary: string): Promise<TestPlatform> {
    return new TestPlatform(await mkdtemp(join(tmpdir(), "strongroom-agent-")), vaultBinary);
  }

  /** An agent in this process. */
  async agent(options: Partial<AgentOptions> = {}): Promise<Agent> {
    const destination = new Writable({
      write: (chunk, _, done) => {
        this.log += chunk;
        done();
      },
    });
    const agent = new Agent({
      instances: this.instances,
      vaultBinary: this.vaultBinary,
      parameters: this.parameters,
      logger: createLogger("agent", "debug", destination),
      auditLimits: { bytes: 1024 * 1024, keep: 3 },
      lowDiskBytes: 0,
      upkeepMs: 200,
      ...options,
    });
    this.#agents.push(agent);
    await agent.start();
    return agent;
  }

  /** The agent as the process that it really is, its log in `agent.log`. */
  agentProcess(environment: Record<string, string> = {}): ChildProcess {
    const agent = spawn(process.execPath, [resolve("services/agent/main.ts")], {
      env: {
        PATH: "/usr/bin:/bin",
        STRONGROOM_INSTANCES_DIR: this.instances,
        STRONGROOM_VAULT_BIN: this.vaultBinary,
        STRONGROOM_PARAMETERS: `local:${join(this.folder, "parameters")}`,
        ...environment,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#processes.push(agent);
    return agent;
  }

  /** The spec of a Vault that seals itself by nothing and listens without TLS: a process, for all we need. */
  async plainSpec(org = newOrgId(), change: Partial<InstanceSpec> = {}): Promise<InstanceSpec> {
    const listen = change.listen ?? (await this.runtime.allocate(org));
    const port = Number(listen.split(":")[1]);
    return {
      org,
      attempt: 1,
      listen,
      config: {
        storage: { raft: { path: "{dir}/raft", node_id: org, performance_multiplier: "1" } },
        listener: { tcp: { address: listen, tls_disable: true } },
        disable_mlock: true,
        log_format: "json",
        api_addr: `http://${listen}`,
        cluster_addr: `https://127.0.0.1:${port + 1}`,
      },
      environment: {},
      secrets: [],
      restart: 0,
      reload: 0,
      ...change,
    };
  }

  /** Publishes a spec and waits until what it asks for runs. */
  async running(spec: InstanceSpec): Promise<Running> {
    await this.runtime.publish(spec);
    return this.whenRunning(spec.org, ({ attempt, restart, reload }) => {
      return attempt === spec.attempt && restart === spec.restart && reload === spec.reload;
    });
  }

  async whenRunning(org: string, condition: (status: InstanceStatus) => boolean = () => true) {
    const isSo = (status: InstanceStatus) =>
      status.state === "running" && status.pid !== undefined && condition(status);
    return (await this.runtime.waitFor(org, isSo, 20_000)) as Running;
  }

  /** Pids of the Vaults that run on this platform's folders. */
  vaults(org = ""): number[] {
    return processesWith(`-config=${join(this.instances, org)}`);
  }

  /** Ends what was started here, and fails where anything is left over. */
  async remove(): Promise<void> {
    for (const agent of this.#agents) await agent.close();
    for (const agent of this.#processes) await endAgent(agent);
    const left = this.vaults();
    for (const pid of left) process.kill(pid, "SIGKILL");
    await until(() => this.vaults().length === 0);
    await rm(this.folder, { recursive: true });
    if (left.length > 0) throw new Error(`${left.length} Vaults were left behind`);
  }
}

export type Running = InstanceStatus & { pid: number };

/** Ends an agent's process as an operator does, and returns its exit status. */
export async function endAgent(
  agent: ChildProcess,
  signal: NodeJS.Signals = "SIGTERM",
): Promise<number | null> {
  if (agent.exitCode !== null || agent.signalCode !== null) return agent.exitCode;
  const exit = once(agent, "exit");
  agent.kill(signal);
  return ((await exit) as [number | null])[0];
}

/** The environment that a process was started with. */
export function environmentOf(pid: number): Record<string, string> {
  const entries = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean);
  return Object.fromEntries(entries.map((entry) => entry.split(/=(.*)/s).slice(0, 2)));
}

export const commandLineOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter(Boolean);

export const readIfThere = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");
