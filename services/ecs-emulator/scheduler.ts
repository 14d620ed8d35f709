import { randomInt } from "node:crypto";
import type { Task, TaskDefinition } from "./task.ts";

/** The desired state of a service. */
export interface ServiceWish {
  taskDefinition: TaskDefinition;
  desiredCount: number;
  /** Percent of the desired count. */
  minimumHealthy: number;
  maximum: number;
  circuitBreaker: boolean;
  /** Counts forced deployments. */
  forced: number;
}

export interface Deployment {
  id: string;
  taskDefinition: TaskDefinition;
  forced: number;
  rolloutState: "IN_PROGRESS" | "COMPLETED" | "FAILED";
  failedTasks: number;
  createdAt: Date;
}

export interface ServiceEvent {
  id: string;
  createdAt: Date;
  message: string;
}

export interface SchedulerOptions {
  name: string;
  /** Creates and starts a task. */
  start(definition: TaskDefinition, deployment: string): Task;
  /** Schedules the next reconcile, if nothing changes before. */
  wakeIn(ms: number): void;
  now(): number;
  backoff: { firstMs: number; mostMs: number };
}

const MOST_EVENTS = 100;
const MOST_ENDED = 20;
/** Number of failed tasks after which ECS's circuit breaker fails a deployment. */
const BREAKER = 3;

/**
 * Reconciles one service's tasks by ECS's own rules: never fewer than the minimum nor more than the maximum of the
 * desired count, unhealthy tasks replaced, failing tasks restarted with backoff, a failing deployment given up. As on
 * ECS, a task that was told to stop no longer counts, though it may still run.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  tasks: Task[] = [];
  deployment: Deployment | undefined;
  events: ServiceEvent[] = [];
  wish: ServiceWish | undefined;
  /** Number of consecutive tasks that ended before they were healthy. */
  #failures = 0;
  #notBefore = 0;
  readonly #seen = new WeakSet<Task>();

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  get alive(): Task[] {
    return this.tasks.filter(({ lastStatus }) => lastStatus !== "STOPPED");
  }

  get running(): Task[] {
    return this.tasks.filter(({ lastStatus }) => lastStatus === "RUNNING");
  }

  /** Moves the tasks one step towards the desired state; called again after every change. */
  reconcile(wish: ServiceWish): void {
    this.wish = wish;
    const deployment = this.#deploymentOf(wish);
    this.#lookAtEnds(deployment, wish);
    this.#replaceUnhealthy();
    const wanted = this.alive.filter(({ desiredStatus }) => desiredStatus === "RUNNING");
    const current = wanted.filter(({ startedBy }) => startedBy === deployment.id);
    const old = wanted.filter(({ startedBy }) => startedBy !== deployment.id);
    const fewest = Math.ceil((wish.desiredCount * wish.minimumHealthy) / 100);
    const most = Math.max(
      Math.floor((wish.desiredCount * wish.maximum) / 100),
      wish.desiredCount > 0 ? 1 : 0,
    );
    let count = wanted.length;
    for (const task of [...old, ...current]) {
      const isSurplus = count > wish.desiredCount || (old.includes(task) && count > fewest);
      if (!isSurplus) continue;
      count--;
      this.#end(task, `Scaling activity initiated by (deployment ${deployment.id})`);
    }
    this.#startMissing(deployment, wish, most - count, wish.desiredCount - current.length);
    this.#judge(deployment, wish);
  }

  #deploymentOf({ taskDefinition, forced }: ServiceWish): Deployment {
    const last = this.deployment;
    if (last && last.taskDefinition.arn === taskDefinition.arn && last.forced === forced) return last;
    this.#failures = 0;
    this.#notBefore = 0;
    this.deployment = {
      id: `ecs-svc/${String(randomInt(2 ** 47)).padStart(19, "0")}`,
      taskDefinition,
      forced,
      rolloutState: "IN_PROGRESS",
      failedTasks: 0,
      createdAt: new Date(),
    };
    return this.deployment;
  }

  #lookAtEnds(deployment: Deployment, wish: ServiceWish): void {
    for (const task of this.tasks) {
      if (task.lastStatus !== "STOPPED" || this.#seen.has(task)) continue;
      this.#seen.add(task);
      if (task.stopCode === "ServiceSchedulerInitiated" && task.health !== "UNHEALTHY") continue;
      this.#event(`has stopped 1 running tasks: (task ${task.id}). Reason: ${task.stoppedReason}`);
      // A task that was healthy before is restarted at once.
      if (task.health === "HEALTHY") this.#failures = 0;
      else this.#failed(deployment, wish, task);
    }
    const ended = this.tasks.filter(({ lastStatus }) => lastStatus === "STOPPED");
    const forgotten = ended.slice(0, Math.max(0, ended.length - MOST_ENDED));
    this.tasks = this.tasks.filter((task) => !forgotten.includes(task));
  }

  #failed(deployment: Deployment, wish: ServiceWish, task: Task): void {
    const { firstMs, mostMs } = this.#options.backoff;
    const wait = Math.min(firstMs * 2 ** this.#failures++, mostMs);
    this.#notBefore = this.#options.now() + wait;
    this.#event(`is unable to consistently start tasks successfully.`);
    if (task.startedBy !== deployment.id || deployment.rolloutState !== "IN_PROGRESS") return;
    deployment.failedTasks++;
    if (!wish.circuitBreaker || deployment.failedTasks < BREAKER) return;
    deployment.rolloutState = "FAILED";
    this.#event(`(deployment ${deployment.id}) deployment failed: tasks failed to start.`);
  }

  #replaceUnhealthy(): void {
    for (const task of this.running) {
      if (task.health !== "UNHEALTHY" || task.desiredStatus === "STOPPED") continue;
      this.#end(task, "Task failed container health checks");
    }
  }

  #startMissing(deployment: Deployment, wish: ServiceWish, room: number, missing: number): void {
    if (deployment.rolloutState === "FAILED") return;
    const wait = this.#notBefore - this.#options.now();
    if (missing > 0 && room > 0 && wait > 0) {
      this.#options.wakeIn(wait);
      return;
    }
    for (let number = 0; number < Math.min(room, missing); number++) {
      const task = this.#options.start(wish.taskDefinition, deployment.id);
      this.tasks.push(task);
      this.#event(`has started 1 tasks: (task ${task.id}).`);
    }
  }

  #judge(deployment: Deployment, wish: ServiceWish): void {
    if (deployment.rolloutState !== "IN_PROGRESS") return;
    const well = this.running.filter(
      ({ startedBy, health, definition }) =>
        startedBy === deployment.id &&
        (health === "HEALTHY" || !definition.containers.some(({ healthCheck }) => healthCheck)),
    );
    if (well.length < wish.desiredCount || this.alive.length > well.length) return;
    deployment.rolloutState = "COMPLETED";
    this.#event(`(deployment ${deployment.id}) deployment completed.`);
    this.#event("has reached a steady state.");
  }

  #end(task: Task, reason: string): void {
    void task.stop("ServiceSchedulerInitiated", reason);
  }

  #event(what: string): void {
    const message = `(service ${this.#options.name}) ${what}`;
    if (this.events[0]?.message === message) return;
    const event = { id: String(randomInt(2 ** 47)), createdAt: new Date(), message };
    this.events = [event, ...this.events].slice(0, MOST_EVENTS);
  }
}
