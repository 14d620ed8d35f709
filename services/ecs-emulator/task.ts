import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ContainerDefinition, Tag } from "@aws-sdk/client-ecs";
import type { Logger } from "pino";
import { exitReason } from "../shared/process/exit-reason.ts";
import { readTail } from "../shared/process/log-files.ts";
import { Container } from "./container.ts";

/** A task definition's revision, in ECS's form. */
export interface TaskDefinition {
  arn: string;
  family: string;
  containers: ContainerDefinition[];
  tags: Tag[];
}

/** A task's environment. */
export interface TaskSurroundings {
  /** Parent folder of tasks' folders. */
  folder: string;
  vaultBinary: string;
  logger: Logger;
  /** The environment that ECS itself adds to a container's definition. */
  environment: Record<string, string>;
  /** Allocates an address for the task alone. */
  takeAddress(): Promise<string>;
  giveAddressBack(address: string): void;
  /** The value of a secret's `valueFrom`; rejects with ECS's error message. */
  secret(valueFrom: string): Promise<string>;
  /** Adapts a container's definition to this machine's files and networks. */
  localize?(
    definition: ContainerDefinition,
    place: { address: string; folder: string },
  ): Promise<ContainerDefinition>;
  /** Rejects with ECS's error message if an image cannot be pulled. */
  pullImage(image: string): Promise<void>;
  /** Called when the task becomes reachable, and when it no longer is. */
  register(task: Task): Promise<void>;
  deregister(task: Task): Promise<void>;
}

export type LastStatus = "PROVISIONING" | "PENDING" | "RUNNING" | "STOPPING" | "STOPPED";
export type StopCode =
  | "TaskFailedToStart"
  | "EssentialContainerExited"
  | "UserInitiated"
  | "ServiceSchedulerInitiated"
  | "SpotInterruption"
  | "TerminationNotice";

/** One task, from its start to its end; an ended task never restarts. */
export class Task {
  readonly id = randomUUID().replaceAll("-", "");
  readonly definition: TaskDefinition;
  readonly service: string;
  /** Its deployment. */
  readonly startedBy: string;
  /** The machine on which it runs. */
  readonly instance: string;
  readonly createdAt = new Date();
  startedAt: Date | undefined;
  stoppedAt: Date | undefined;
  lastStatus: LastStatus = "PROVISIONING";
  desiredStatus: "RUNNING" | "STOPPED" = "RUNNING";
  health: "UNKNOWN" | "HEALTHY" | "UNHEALTHY" = "UNKNOWN";
  stopCode: StopCode | undefined;
  stoppedReason: string | undefined;
  exitCode: number | undefined;
  address: string | undefined;
  readonly #around: TaskSurroundings;
  readonly #onChange: () => void;
  #container: Container | undefined;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;

  constructor(
    about: Pick<Task, "definition" | "service" | "startedBy" | "instance">,
    around: TaskSurroundings,
    onChange: () => void,
  ) {
    this.definition = about.definition;
    this.service = about.service;
    this.startedBy = about.startedBy;
    this.instance = about.instance;
    this.#around = around;
    this.#onChange = onChange;
    this.ended = this.#live();
  }

  /** Vault's pid, for tests that kill it. */
  get pid(): number | undefined {
    return this.#container?.pid;
  }

  get folder(): string {
    return join(this.#around.folder, this.id);
  }

  /** Stops it like ECS: SIGTERM, then SIGKILL after its stop timeout. */
  async stop(stopCode: StopCode, reason: string): Promise<void> {
    this.#note(stopCode, reason);
    this.desiredStatus = "STOPPED";
    if (this.lastStatus === "RUNNING") this.#change("STOPPING");
    const timeoutMs = (this.#container?.definition.stopTimeout ?? 30) * 1000;
    const timer = setTimeout(() => this.#container?.kill(), timeoutMs);
    this.#container?.signal("SIGTERM");
    await this.ended;
    clearTimeout(timer);
  }

  /** Kills it at once, as the loss of its machine does. */
  kill(stopCode?: StopCode, reason?: string): void {
    if (stopCode && reason) this.#note(stopCode, reason);
    this.#container?.kill();
  }

  /** Runs its health check once. Returns the exit code, or undefined while it has no container. */
  async checkHealth(): Promise<number | undefined> {
    return this.#container?.checkHealth();
  }

  async #live(): Promise<void> {
    // Deferred, so that the caller knows the task before its first change.
    await Promise.resolve();
    try {
      const container = await this.#prepare();
      this.#container = container;
      const { ended } = await container.start();
      this.startedAt = new Date();
      this.#change("RUNNING");
      await this.#around.register(this);
      const watch = new AbortController();
      const watched = this.#watchHealth(container, watch.signal);
      this.exitCode = await ended;
      watch.abort();
      await watched;
      this.#note("EssentialContainerExited", "Essential container in task exited");
      const why = exitReason(await readTail(container.log, 0));
      this.#around.logger.info({ task: this.id, exitCode: this.exitCode, why }, "task ended");
    } catch (error) {
      this.#note("TaskFailedToStart", (error as Error).message);
    }
    await this.#around.deregister(this).catch((err) => {
      this.#around.logger.error({ task: this.id, err }, "cannot deregister the task's address");
    });
    if (this.address) this.#around.giveAddressBack(this.address);
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    this.desiredStatus = "STOPPED";
    this.stoppedAt = new Date();
    this.#change("STOPPED");
  }

  async #prepare(): Promise<Container> {
    const [given, another] = this.definition.containers;
    if (!given || another) throw new Error("only tasks with one container are supported");
    this.address = await this.#around.takeAddress();
    const place = { address: this.address, folder: this.folder };
    const definition = (await this.#around.localize?.(given, place)) ?? given;
    this.#change("PENDING");
    const environment: Record<string, string> = { ...this.#around.environment };
    for (const { name = "", value = "" } of definition.environment ?? []) environment[name] = value;
    for (const { name = "", valueFrom = "" } of definition.secrets ?? []) {
      environment[name] = await this.#around.secret(valueFrom);
    }
    await this.#around.pullImage(definition.image ?? "");
    const { folder, address } = this;
    return new Container(definition, {
      folder,
      address,
      environment,
      vaultBinary: this.#around.vaultBinary,
    });
  }

  /** It is unhealthy after `retries` consecutive failed checks; checks during the start period do not count. */
  async #watchHealth(container: Container, signal: AbortSignal): Promise<void> {
    const { healthCheck: check } = container.definition;
    if (!check?.command) return;
    const { interval = 30, retries = 3, startPeriod = 0 } = check;
    const begun = performance.now();
    for (let failures = 0; !signal.aborted; ) {
      await sleep(interval * 1000, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      const isWell = (await container.checkHealth()) === 0;
      if (signal.aborted) return;
      if (isWell) failures = 0;
      else if (performance.now() - begun > startPeriod * 1000) failures++;
      const health = isWell ? "HEALTHY" : failures >= retries ? "UNHEALTHY" : this.health;
      if (health === this.health) continue;
      this.health = health;
      this.#onChange();
    }
  }

  /** Only the first reason is kept. */
  #note(stopCode: StopCode, reason: string): void {
    this.stopCode ??= stopCode;
    this.stoppedReason ??= reason;
  }

  #change(status: LastStatus): void {
    this.lastStatus = status;
    this.#onChange();
  }
}
