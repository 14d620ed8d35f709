import { setTimeout as sleep } from "node:timers/promises";
import type { CreateUse, Use, UseWithResult } from "../../services/shared/api/uses.ts";
import { poll } from "../../services/shared/poll.ts";
import type { CredentialPlatform } from "../harness/credentials.ts";
import type { Part } from "../harness/part.ts";

/** What only bounds a hang: ten workers in a row may have died on a job. */
const END_WITHIN_MS = 120_000;
const MAX_WAIT_MS = 800;
const IN_FLIGHT = 100;

export const USE: CreateUse = {
  credential: "provider",
  request: { method: "POST", path: "/v1/charges", body: { text: "amount=5" } },
};

/** A member who repeats what was not answered, as clients of an API do. */
export class PersistentMember {
  readonly #platform: Pick<CredentialPlatform, "api" | "token">;
  readonly #claim: string;

  constructor(platform: Pick<CredentialPlatform, "api" | "token">, claim = "org_acme") {
    this.#platform = platform;
    this.#claim = claim;
  }

  /** Submits a use once, under a key, however often it has to ask. Returns the job's id. */
  async submit(key: string, use: CreateUse = USE): Promise<string> {
    const { body } = await this.#ask<Use>("POST", "/v1/jobs", {
      body: use,
      headers: { "idempotency-key": key },
    });
    return body.id;
  }

  /** The job once it has ended. Throws if it does not in time. */
  async ended(id: string): Promise<UseWithResult> {
    const job = await poll(
      async () => {
        const { body } = await this.#ask<UseWithResult>("GET", `/v1/jobs/${id}`);
        return body.state === "queued" ? undefined : body;
      },
      { everyMs: 100, withinMs: END_WITHIN_MS },
    );
    if (!job) throw new Error(`job ${id} has not ended in ${END_WITHIN_MS / 1000} s`);
    return job;
  }

  async #ask<T>(method: "GET" | "POST", path: string, call = {}): Promise<{ status: number; body: T }> {
    const until = Date.now() + END_WITHIN_MS;
    for (let wait = 50; ; wait = Math.min(2 * wait, MAX_WAIT_MS)) {
      const answer = await this.#platform
        .api<T>(method, path, this.#platform.token(this.#claim), call)
        .catch(() => undefined);
      if (answer && answer.status < 300) return answer;
      const isPassing = !answer || answer.status === 429 || answer.status >= 500;
      if (!isPassing || Date.now() > until) {
        throw new Error(`${method} ${path}: ${answer?.status ?? "no answer"} ${answer?.text ?? ""}`);
      }
      await sleep(wait);
    }
  }
}

/** What came of many jobs. */
export interface LoadOutcome {
  jobs: Map<string, UseWithResult>;
  /** `kill -9` of a process, by part. */
  kills: Record<string, number>;
  seconds: number;
}

export interface LoadOptions {
  /** At least so many; more on a fast machine, until each part was killed. */
  jobs: number;
  /** What `kill -9` meets, each of them again and again. */
  parts: Part[];
  /** How long a part lives, about, until it is killed. */
  liveMs: number;
  random: () => number;
}

/** Submits so many jobs of several organizations, a hundred in flight, amid kills of every part. Resolves when all have ended. */
export async function loadWithKills(
  platform: Pick<CredentialPlatform, "api" | "token" | "orgs">,
  { jobs: total, parts, liveMs, random }: LoadOptions,
): Promise<LoadOutcome> {
  const claims = Object.keys(platform.orgs);
  const outcome: LoadOutcome = { jobs: new Map(), kills: {}, seconds: 0 };
  const began = performance.now();
  const done = new AbortController();
  /** Kills one part again and again. It lives at least as long as it took to start, or the load would never end. */
  const kill = async (part: Part) => {
    for (let lifeMs = liveMs; ; ) {
      await sleep(lifeMs * (0.5 + random()), undefined, { signal: done.signal }).catch(() => {});
      if (done.signal.aborted) return;
      outcome.kills[part.name] = (outcome.kills[part.name] ?? 0) + 1;
      const killedAt = performance.now();
      await part.restart();
      lifeMs = Math.max(liveMs, performance.now() - killedAt);
    }
  };
  const killing = Promise.all(parts.map(kill));
  // A part that does not start again ends the load; its error is thrown below.
  killing.catch(() => done.abort());
  let next = 0;
  const isEnough = () => next >= total && parts.every(({ name }) => outcome.kills[name]);
  const drive = async () => {
    while (!isEnough() && !done.signal.aborted) {
      const index = next++;
      const member = new PersistentMember(platform, claims[index % claims.length]);
      const id = await member.submit(`load-${index}`);
      outcome.jobs.set(id, await member.ended(id));
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, total) }, drive));
  } finally {
    done.abort();
  }
  await killing;
  outcome.seconds = Math.round(performance.now() - began) / 1000;
  return outcome;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
