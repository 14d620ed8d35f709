import { readdir } from "node:fs/promises";
import { instanceFolder } from "../../shared/process/instance-folders.ts";
import {
  endProcess,
  gone,
  type ProcessRecord,
  readProcessRecord,
  signalProcess,
} from "../../shared/process/recorded-process.ts";
import { SERVICES, type StateFolder } from "./state-folder.ts";

const GRACE_MS = 5_000;

/**
 * Ends the services that a killed `strongroom up` left running, and returns their names. The Vaults keep running:
 * this start takes over the internal Vault, and its agent the organizations' Vaults.
 */
export async function endSurvivors(state: StateFolder): Promise<string[]> {
  const ended = await Promise.all(
    SERVICES.map(async (name) => {
      const record = await readProcessRecord(state.processFile(name));
      if (!record || (await gone(record, 0))) return undefined;
      // An agent that gets SIGTERM stops its Vaults first; a killed agent leaves them to the next one.
      await (name === "agent" ? kill(record) : endProcess(record, { graceMs: GRACE_MS }));
      return name;
    }),
  );
  return ended.filter((name) => name !== undefined);
}

/** Sends SIGKILL to every process in the folder's records that is still the recorded one. */
export async function killEverything(state: StateFolder): Promise<void> {
  // The agent first: it would restart its Vaults.
  const agent = await readProcessRecord(state.processFile("agent"));
  if (agent) await kill(agent);
  const records = await Promise.all([
    ...["internal-vault", ...SERVICES].map((name) => readProcessRecord(state.processFile(name))),
    ...(await instances(state)).map(({ process }) => readProcessRecord(process)),
  ]);
  await Promise.all(records.map((record) => record && kill(record)));
}

async function instances(state: StateFolder) {
  const folders = await readdir(state.instances, { recursive: false }).catch(() => []);
  const attempts = await Promise.all(
    folders.map(async (org) => {
      const names = await readdir(state.at("instances", org)).catch(() => []);
      return names.map((attempt) => instanceFolder(state.instances, org, Number(attempt)));
    }),
  );
  return attempts.flat();
}

async function kill(record: ProcessRecord): Promise<void> {
  if (await signalProcess(record, "SIGKILL")) await gone(record, GRACE_MS);
}
