import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommandError, runCommand } from "./run-command.ts";

/** Storage types that the platform uses: raft on a local disk, DynamoDB and S3 on AWS. */
export type StorageType = "raft" | "dynamodb" | "s3";

/**
 * For each storage type, invalid settings: a server with that type rejects them before it opens or connects to
 * anything, and a server without it reports an unknown type first.
 */
const REFUSED_SETTINGS: Record<StorageType, object> = {
  raft: {},
  dynamodb: { read_capacity: "none" },
  s3: {},
};

const TIMEOUT_MS = 20_000;

/**
 * Runs a binary to get its version, like `1.21.2`.
 * @throws CommandError when it cannot be run, or is not Vault
 */
export async function vaultVersion(path: string, signal?: AbortSignal): Promise<string> {
  const output = await runCommand(path, ["version"], { env: {}, timeoutMs: TIMEOUT_MS, signal });
  const version = /^Vault v(\d+\.\d+\.\d+)/m.exec(output)?.[1];
  if (!version) throw new CommandError(`${path}: is not HashiCorp Vault: it prints no Vault version`);
  return version;
}

/** The storage types that a Vault binary lacks. Starts no server and leaves nothing behind. */
export async function missingStorage(
  path: string,
  types: StorageType[],
  signal?: AbortSignal,
): Promise<StorageType[]> {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-probe-"));
  try {
    const missing: StorageType[] = [];
    for (const type of types) {
      const config = join(folder, `${type}.json`);
      await writeFile(
        config,
        JSON.stringify({ disable_mlock: true, storage: { [type]: REFUSED_SETTINGS[type] } }),
      );
      if (!(await knows(path, type, config, signal))) missing.push(type);
    }
    return missing;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function knows(
  path: string,
  type: StorageType,
  config: string,
  signal?: AbortSignal,
): Promise<boolean> {
  try {
    await runCommand(path, ["server", `-config=${config}`], { env: {}, timeoutMs: TIMEOUT_MS, signal });
  } catch (error) {
    if (error instanceof CommandError) return !error.message.includes(`Unknown storage type ${type}`);
    throw error;
  }
  throw new CommandError(`${path}: a server with invalid ${type} storage settings exited without an error`);
}
