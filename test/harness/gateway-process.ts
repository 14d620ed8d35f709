import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { newDirectoryKey, startDirectoryServer } from "./directory.ts";
import type { OrgEntry } from "./published.ts";
import { residentMemory } from "./resident-memory.ts";
import type { TestIssuer } from "./tokens.ts";

const MAIN = fileURLToPath(new URL("../../services/gateway/main.ts", import.meta.url));
const START_MS = 30_000;

/** A gateway as a process of its own, as it runs in production. */
export interface GatewayProcess {
  port: number;
  pid: number;
  /** Resident memory, in bytes. */
  rss(): Promise<number>;
  stop(): Promise<void>;
}

export interface GatewayProcessOptions {
  issuers: TestIssuer[];
  ca: string;
  orgs: OrgEntry[];
  /** Settings beside those that it needs. */
  settings?: Record<string, string>;
  /** Another gateway's `main.ts`, to compare with. */
  main?: string;
}

export async function startGatewayProcess(options: GatewayProcessOptions): Promise<GatewayProcess> {
  const { issuers, ca, orgs, settings = {}, main = MAIN } = options;
  const dir = await mkdtemp(join(tmpdir(), "strongroom-gateway-"));
  const at = (name: string) => join(dir, name);
  const key = newDirectoryKey();
  const directoryServer = await startDirectoryServer(key);
  await directoryServer.publish({
    ...{ version: 1, issuedAt: new Date().toISOString(), issuers: issuers.map(({ issuer }) => issuer) },
    orgs: orgs.map((org) => ({ issuer: issuers[0]?.issuer.issuer ?? "", ...org })),
    deleted: [],
  });
  await writeFile(at("directory-key.pem"), key.publicPem);
  await writeFile(at("ownership-key.pem"), key.ownershipPem);
  await writeFile(at("ca.pem"), ca);
  const child = spawn(process.execPath, ["--single-threaded-gc", main], {
    env: {
      PATH: "/usr/bin:/bin",
      STRONGROOM_LISTEN: "127.0.0.1:0",
      STRONGROOM_ADDRESS_FILE: at("address"),
      STRONGROOM_DIRECTORY_URL: directoryServer.url,
      STRONGROOM_DIRECTORY_KEY_FILE: at("directory-key.pem"),
      STRONGROOM_OWNERSHIP_KEY_FILE: at("ownership-key.pem"),
      STRONGROOM_DIRECTORY_COPY: at("directory.jws"),
      STRONGROOM_REVOCATIONS_URL: directoryServer.revocationsUrl,
      STRONGROOM_REVOCATIONS_COPY: at("revocations.jws"),
      STRONGROOM_CA_FILE: at("ca.pem"),
      ...settings,
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const stop = async () => {
    await end(child);
    await directoryServer.close();
    await rm(dir, { recursive: true });
  };
  try {
    const address = await whenListening(child, at("address"));
    return {
      port: Number(new URL(address).port),
      pid: child.pid as number,
      rss: () => residentMemory(child.pid as number),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function whenListening(child: ChildProcess, file: string): Promise<string> {
  for (const deadline = Date.now() + START_MS; ; await sleep(20)) {
    if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`);
    if (Date.now() > deadline) throw new Error("the gateway does not listen");
    const address = await readFile(file, "utf8").catch(() => "");
    if (address) return address;
  }
}

/** Asks a process to end, and waits until it has. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}
