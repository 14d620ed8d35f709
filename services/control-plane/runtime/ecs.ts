import { setTimeout as sleep } from "node:timers/promises";
import type { RegisterTaskDefinitionCommandInput, Service } from "@aws-sdk/client-ecs";
import { orgTable } from "../../shared/aws/names.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { InstanceSpec, InstanceStatus } from "../../shared/instance-spec.ts";
import { dynamodbStorage, type ServerPlace } from "../../shared/vault/server-config.ts";
import type { Aws } from "./ecs/clients.ts";
import { ensureLogGroup } from "./ecs/log-group.ts";
import { deleteRoles, ensureRoles, orgRoles } from "./ecs/roles.ts";
import { ensureRoom } from "./ecs/room.ts";
import {
  changedCapacity,
  createService,
  deleteDefinitions,
  deleteService,
  describeDefinition,
  describeService,
  ensureDefinition,
  updateService,
  waitUntilStopped,
} from "./ecs/service.ts";
import { deleteName, ensureName } from "./ecs/service-name.ts";
import { hasGivenUp, instanceStatus, isSteady, type Tags, tagsOf } from "./ecs/status.ts";
import { ensureTable, READY_TAG, SET_ASIDE_TAG, tableTags, tagTable } from "./ecs/table.ts";
import { AUDIT_FILES, TASK_TAGS, taskDefinition } from "./ecs/task-definition.ts";
import { isAlive, tasksOf } from "./ecs/tasks.ts";
import type { Runtime } from "./runtime.ts";

const PORT = 8200;
const POLL_MS = { first: 500, most: 3_000, growth: 1.3 };
/** Interval of retries of a service that ECS has given up, or backs off from for up to half an hour. */
const RECOVER_EVERY_MS = 60_000;
/** Definitions whose tags are kept in memory; more than a cell has services. */
const MOST_KNOWN = 10_000;

/** Runs instances as ECS services of a cell, one per organization, each on its own table. */
export class EcsRuntime implements Runtime {
  /** Fargate takes half a minute to start a task, and a new role is only eventually consistent. */
  readonly patience = { startMs: 5 * 60_000, answerMs: 90_000 };
  readonly #aws: Aws;
  readonly #now: () => Date;
  /** Tags of definitions, which never change. */
  readonly #definitions = new Map<string, Tags>();
  readonly #recovered = new Map<string, number>();
  /** Running replacements, and the error of an organization's last failed one. */
  readonly #replacing = new Map<string, Promise<void>>();
  readonly #failures = new Map<string, string>();
  /** The current definition of each organization that may have outdated ones. */
  readonly #outdated = new Map<string, string>();

  constructor(aws: Aws, now: () => Date = () => new Date()) {
    this.#aws = aws;
    this.#now = now;
  }

  /** Always the same: a DNS name that follows the task. */
  async allocate(org: string): Promise<string> {
    return `${org}.${this.#aws.cell.namespaceName}:${PORT}`;
  }

  place(org: string, attempt: number): ServerPlace {
    const { region, launchType } = this.#aws.cell;
    return {
      listen: `{address}:${PORT}`,
      storage: dynamodbStorage(orgTable(org, attempt), region),
      // Fargate allows a task neither the capability nor the ulimit for mlock, and does not swap to disk.
      mlock: launchType === "EC2",
    };
  }

  /**
   * A changed instance replaces the running one: this call stops the old task, and its replacement starts in the
   * background once ECS confirms the stop, which may take a minute. {@link waitFor} reports the result.
   */
  async publish(spec: InstanceSpec): Promise<void> {
    const { org, attempt } = spec;
    const aws = this.#aws;
    await this.#replacing.get(org);
    const definition = taskDefinition(aws.cell, orgRoles(aws.cell, org), spec);
    const service = await describeService(aws, org);
    if (service?.desiredCount === 1 && (await this.#runs(service, definition))) return;
    if (!service) await ensureRoom(aws);
    await ensureRoles(aws, org);
    await ensureTable(aws, org, attempt);
    if (!service) {
      await ensureLogGroup(aws, org);
      const registry = await ensureName(aws, org);
      await createService(aws, org, await ensureDefinition(aws, definition), registry);
      return;
    }
    const taskArn = await ensureDefinition(aws, definition);
    // The call that stops the task includes every change: if ECS refuses it, the service stays as it is.
    await updateService(aws, org, {
      taskDefinition: taskArn,
      desiredCount: 0,
      ...changedCapacity(aws.cell, service),
    });
    const replacing = this.#replace(org, taskArn)
      .then(() => this.#failures.delete(org))
      .catch((error: Error) => this.#failures.set(org, error.message))
      .then(() => void this.#replacing.delete(org))
      .then(() => this.#tidy());
    this.#replacing.set(org, replacing);
  }

  /** If this is interrupted, the desired count is 0, and {@link recover} repeats it. */
  async #replace(org: string, taskDefinition: string): Promise<void> {
    const aws = this.#aws;
    await waitUntilStopped(aws, org);
    // Forces a new deployment for the circuit breaker to judge: the one without tasks is complete already.
    await updateService(aws, org, { desiredCount: 1, forceNewDeployment: true });
    this.#outdated.set(org, taskDefinition);
  }

  /**
   * Deletes unused definitions once no replacement is running: deregistering shares the rate limit of one call per
   * second with registering. A failure is retried with the next replacement.
   */
  async #tidy(): Promise<void> {
    for (const [org, taskDefinition] of this.#outdated) {
      if (this.#replacing.size > 0) return;
      this.#outdated.delete(org);
      await deleteDefinitions(this.#aws, org, taskDefinition).catch(() => {});
    }
  }

  /** Keeps the tables, which have deletion protection, and the log group. */
  async remove(org: string): Promise<void> {
    const aws = this.#aws;
    await this.#replacing.get(org);
    this.#failures.delete(org);
    const service = await describeService(aws, org);
    if (service?.status === "ACTIVE") {
      await updateService(aws, org, { desiredCount: 0 });
      await waitUntilStopped(aws, org);
    }
    if (service) await deleteService(aws, org);
    await deleteDefinitions(aws, org);
    await deleteName(aws, org);
    await deleteRoles(aws, org);
  }

  async recover(spec: InstanceSpec): Promise<void> {
    const { org } = spec;
    if (this.#replacing.has(org)) return;
    const service = await describeService(this.#aws, org);
    if (!service || service.desiredCount === 0) return this.publish(spec);
    const tasks = await tasksOf(this.#aws, org);
    const now = this.#now().getTime();
    if (tasks.some(isAlive) || now - (this.#recovered.get(org) ?? 0) < RECOVER_EVERY_MS) return;
    const [last] = tasks.toSorted((a, b) => Number(b.stoppedAt ?? 0) - Number(a.stoppedAt ?? 0));
    const isSpotLoss = last?.stopCode === "SpotInterruption";
    const isLeftAlone = now - Number(last?.stoppedAt ?? 0) >= RECOVER_EVERY_MS;
    if (!isSpotLoss && !isLeftAlone && !hasGivenUp(service)) return;
    this.#recovered.set(org, now);
    await updateService(this.#aws, org, {
      forceNewDeployment: true,
      ...changedCapacity(this.#aws.cell, service, isSpotLoss),
    });
  }

  async observe(org: string): Promise<InstanceStatus | undefined> {
    const service = await describeService(this.#aws, org);
    if (!service) return undefined;
    const definition = await this.#definitionTags(service.taskDefinition);
    const running = { lastStatus: "RUNNING", desiredStatus: "RUNNING", tags: toList(definition) };
    const tasks = isSteady(service) ? [running] : await tasksOf(this.#aws, org);
    const status = instanceStatus(org, service, tasks, definition, this.#now());
    const failure = this.#failures.get(org);
    return failure === undefined ? status : { ...status, lastError: failure };
  }

  async waitFor(
    org: string,
    condition: (status: InstanceStatus) => boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<InstanceStatus> {
    const end = performance.now() + timeoutMs;
    for (let pause = POLL_MS.first; ; pause = Math.min(pause * POLL_MS.growth, POLL_MS.most)) {
      signal?.throwIfAborted();
      const status = await this.observe(org);
      if (status && condition(status)) return status;
      if (performance.now() + pause > end) {
        const reason = status ? `it is ${status.state}` : "ECS does not have its service";
        const why = status?.lastError ? `: ${status.lastError}` : "";
        throw new StrongroomError("step_timeout", `The organization's Vault took too long: ${reason}${why}`);
      }
      await sleep(pause, undefined, signal ? { signal } : {});
    }
  }

  async markReady(org: string, attempt: number): Promise<void> {
    await tagTable(this.#aws, org, attempt, READY_TAG, this.#now().toISOString());
  }

  async hasReadyMarker(org: string, attempt: number): Promise<boolean> {
    return (await tableTags(this.#aws, org, attempt))?.has(READY_TAG) ?? false;
  }

  async setAside(org: string, attempt: number, reason: string): Promise<void> {
    const tags = await tableTags(this.#aws, org, attempt);
    if (!tags) return;
    if (reason !== "deleted" && tags.has(READY_TAG)) {
      throw new StrongroomError(
        "quarantined",
        "The storage has the marker of a live organization and was not set aside",
      );
    }
    await tagTable(this.#aws, org, attempt, SET_ASIDE_TAG, reason);
  }

  auditFiles(): readonly [string, string] {
    return AUDIT_FILES;
  }

  async #runs(service: Service, definition: RegisterTaskDefinitionCommandInput): Promise<boolean> {
    const tags = await this.#definitionTags(service.taskDefinition);
    return tags.get(TASK_TAGS.digest) === tagsOf(definition).get(TASK_TAGS.digest);
  }

  async #definitionTags(arn = ""): Promise<Tags> {
    const known = this.#definitions.get(arn);
    if (known) return known;
    const found = await describeDefinition(this.#aws, arn);
    if (!found) return new Map();
    if (this.#definitions.size >= MOST_KNOWN) this.#definitions.clear();
    this.#definitions.set(arn, found.tags);
    return found.tags;
  }
}

const toList = (tags: Tags) => [...tags].map(([key, value]) => ({ key, value }));
