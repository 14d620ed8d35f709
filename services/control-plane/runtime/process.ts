import { randomInt } from "node:crypto";
import { readdir, rename } from "node:fs/promises";
import { createServer } from "node:net";
import { resolve } from "node:path";
import { Value } from "typebox/value";
import { StrongroomError } from "../../shared/errors.ts";
import { makeFolder, readJson, readText, writeFileAtomic, writeJson } from "../../shared/files.ts";
import { type InstanceSpec, InstanceStatus } from "../../shared/instance-spec.ts";
import { FolderWatch } from "../../shared/process/folder-watch.ts";
import {
  instanceFolder,
  specFile,
  specsFolder,
  statusFile,
  statusFolder,
  withdrawnFile,
} from "../../shared/process/instance-folders.ts";
import { raftStorage, type ServerPlace } from "../../shared/vault/server-config.ts";
import type { Runtime } from "./runtime.ts";

/** Below the range of ephemeral ports. */
const PORTS = { first: 20_000, pairs: 6_000 };
const PORT_TRIES = 200;
const POLL_MS = 100;
const REMOVE_TIMEOUT_MS = 20_000;

/** Runs instances as processes of this machine, through the agent that watches the same folder. */
export class ProcessRuntime implements Runtime {
  readonly patience = { startMs: 30_000, answerMs: 10_000 };
  readonly #instances: string;
  readonly #removeTimeoutMs: number;
  /** Allocated ports that are not in a published spec yet, by organization. */
  readonly #allocated = new Map<string, number>();

  constructor(instances: string, { removeTimeoutMs = REMOVE_TIMEOUT_MS } = {}) {
    this.#instances = resolve(instances);
    this.#removeTimeoutMs = removeTimeoutMs;
  }

  async allocate(org: string): Promise<string> {
    const published = await this.#publishedPorts(org);
    for (let tries = 0; tries < PORT_TRIES; tries++) {
      const port = PORTS.first + 2 * randomInt(PORTS.pairs);
      if (published.has(port)) continue;
      if ([...this.#allocated].some(([other, taken]) => other !== org && taken === port)) continue;
      this.#allocated.set(org, port);
      if ((await isFree(port)) && (await isFree(port + 1))) return `127.0.0.1:${port}`;
    }
    this.#allocated.delete(org);
    throw new StrongroomError("step_failed", "found no free port for the organization's Vault");
  }

  place(org: string, _attempt: number, listen: string): ServerPlace {
    // No mlock: it needs root, and a laptop's swap is its owner's responsibility.
    return { listen, storage: raftStorage("{dir}/raft", org), mlock: false };
  }

  async publish(spec: InstanceSpec): Promise<void> {
    await writeJson(specFile(this.#instances, spec.org), spec);
    this.#allocated.delete(spec.org);
  }

  async remove(org: string): Promise<void> {
    this.#allocated.delete(org);
    const withdrawn = withdrawnFile(this.#instances, org);
    await rename(specFile(this.#instances, org), withdrawn).catch(ignoreMissing);
    const done = await this.#wait(specsFolder(this.#instances), this.#removeTimeoutMs, undefined, async () =>
      (await readText(withdrawn)) === undefined ? true : undefined,
    );
    if (!done) {
      const reason = (await this.observe(org))?.lastError ?? "the agent has not confirmed it; is it running?";
      throw new StrongroomError(
        "step_timeout",
        `No confirmation that the organization's Vault has stopped: ${reason}`,
      );
    }
  }

  /** Does nothing: the agent never gives up. */
  async recover(): Promise<void> {}

  async observe(org: string): Promise<InstanceStatus | undefined> {
    const status = await readJson(statusFile(this.#instances, org));
    return Value.Check(InstanceStatus, status) ? status : undefined;
  }

  async waitFor(
    org: string,
    condition: (status: InstanceStatus) => boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<InstanceStatus> {
    let last: InstanceStatus | undefined;
    const met = await this.#wait(statusFolder(this.#instances), timeoutMs, signal, async () => {
      last = await this.observe(org);
      return last && condition(last) ? last : undefined;
    });
    if (met) return met;
    const reason = last
      ? `it is ${last.state}${last.lastError ? `: ${last.lastError}` : ""}`
      : "the agent has not reported its status; is it running?";
    throw new StrongroomError("step_timeout", `The organization's Vault took too long: ${reason}`);
  }

  async markReady(org: string, attempt: number): Promise<void> {
    const { ready } = instanceFolder(this.#instances, org, attempt);
    await writeFileAtomic(ready, `${new Date().toISOString()}\n`, 0o400);
  }

  async hasReadyMarker(org: string, attempt: number): Promise<boolean> {
    return (await readText(instanceFolder(this.#instances, org, attempt).ready)) !== undefined;
  }

  async setAside(org: string, attempt: number, reason: string): Promise<void> {
    if (reason !== "deleted" && (await this.hasReadyMarker(org, attempt))) {
      throw new StrongroomError(
        "quarantined",
        "The storage has the marker of a live organization and was not set aside",
      );
    }
    const { setAside } = instanceFolder(this.#instances, org, attempt);
    await writeJson(setAside, { at: new Date().toISOString(), reason });
  }

  auditFiles(org: string, attempt: number): [string, string] {
    return instanceFolder(this.#instances, org, attempt).audit;
  }

  async #publishedPorts(org: string): Promise<Set<number>> {
    const ports = new Set<number>();
    for (const file of await readdir(specsFolder(this.#instances)).catch(ignoreMissing)) {
      if (!file.endsWith(".json") || file === `${org}.json`) continue;
      const spec = (await readJson(resolve(specsFolder(this.#instances), file)).catch(() => {})) as
        | Partial<InstanceSpec>
        | undefined;
      if (spec?.listen) ports.add(Number(spec.listen.split(":")[1]));
    }
    return ports;
  }

  /** Calls `check` on each change in a folder until it returns a value; undefined after `timeoutMs`. */
  async #wait<T>(
    folder: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    check: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    await makeFolder(folder);
    const end = performance.now() + timeoutMs;
    const watch = new FolderWatch(folder, POLL_MS);
    const wake = () => watch.wake();
    signal?.addEventListener("abort", wake);
    try {
      for (;;) {
        signal?.throwIfAborted();
        const value = await check();
        if (value !== undefined || performance.now() >= end) return value;
        await watch.next();
      }
    } finally {
      signal?.removeEventListener("abort", wake);
      watch.close();
    }
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => done(true)));
  });
}

function ignoreMissing(error: NodeJS.ErrnoException): [] {
  if (error.code !== "ENOENT") throw error;
  return [];
}
