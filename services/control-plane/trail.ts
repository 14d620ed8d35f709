import {
  chained,
  TRAIL_BEGIN,
  type TrailEntry,
  type TrailEvent,
  type TrailHead,
} from "../shared/audit/trail.ts";
import type { Registry } from "../shared/registry/registry.ts";
import { VaultError } from "../shared/vault/client.ts";
import { CasConflictError } from "../shared/vault/kv.ts";
import type { Workflow } from "./onboarding/workflow.ts";

/** Entries lie in folders of this many, so that no list is long. */
const FOLDER = 1000;
const TRIES = 100;

/**
 * The control plane's own trail. It lies in the internal Vault, whose policy lets this service make entries and
 * read them, never change or remove one. Others may append at the same time: who comes second goes behind.
 */
export class Trail {
  readonly #registry: Registry;
  readonly #now: () => Date;
  #head: TrailHead | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(registry: Registry, now: () => Date) {
    this.#registry = registry;
    this.#now = now;
  }

  /** Appends an entry; on return it is kept. Throws where the internal Vault does not take it. */
  append(event: Omit<TrailEvent, "at">): Promise<void> {
    const mine = this.#last
      .catch(() => {})
      .then(() => this.#append({ at: this.#now().toISOString(), ...event }));
    this.#last = mine;
    return mine;
  }

  /** Up to `limit` entries behind the one numbered `after`. */
  async read(after: number, limit: number): Promise<TrailEntry[]> {
    const numbers = Array.from({ length: limit }, (_, i) => after + 1 + i);
    const found = await Promise.all(numbers.map((number) => this.#registry.trail.read(keyOf(number))));
    return found.flatMap((each) => (each ? [each.value] : []));
  }

  /** Where it ends now. */
  async head(): Promise<TrailHead> {
    return this.#find();
  }

  async #append(event: TrailEvent): Promise<void> {
    let head = this.#head ?? (await this.#find());
    for (let tries = 1; ; tries++) {
      const entry = chained(event, head);
      try {
        await this.#registry.trail.create(keyOf(entry.sequence), entry);
        this.#head = entry;
        return;
      } catch (error) {
        // Where there is an entry already, writing it is refused as the change that it would be.
        const isTaken =
          error instanceof CasConflictError || (error instanceof VaultError && error.status === 403);
        const other = isTaken && (await this.#registry.trail.read(keyOf(entry.sequence)));
        if (!other || tries === TRIES) {
          this.#head = undefined;
          throw error;
        }
        head = other.value;
      }
    }
  }

  /** The last entry, found by its number. */
  async #find(): Promise<TrailHead> {
    const { trail } = this.#registry;
    const folder = (await trail.keys()).sort().at(-1);
    if (folder === undefined) return TRAIL_BEGIN;
    // The newest may be listed a moment before it can be read.
    for (const key of (await trail.keys(folder)).sort().reverse()) {
      const found = await trail.read(`${folder}${key}`);
      if (found) return found.value;
    }
    throw new Error("the trail's last entry cannot be read");
  }
}

/** `000000001/234` is entry 1234. */
const keyOf = (sequence: number): string => {
  const folder = String(Math.floor(sequence / FOLDER)).padStart(9, "0");
  return `${folder}/${String(sequence % FOLDER).padStart(3, "0")}`;
};

/** A workflow whose jobs' ends are on the trail. */
export function onTrail(kind: string, workflow: Workflow, trail: Trail): Workflow {
  const ended = (how: string, org: string, job: string) =>
    trail.append({ actor: "control-plane", action: `${kind} ${how}`, org, job });
  return {
    ...workflow,
    async succeed(job) {
      await workflow.succeed(job);
      await ended("succeeded", job.org, job.id);
    },
    async fail(job) {
      await workflow.fail?.(job);
      await ended("failed", job.org, job.id);
    },
  };
}
