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
 * Ends the services that a killed `strongroom up` left running, and gives their names. The Vaults go on:
 * the internal one is taken over by this start, organizations' ones by its agent.
 */
export async function endSurvivors(state: StateFolder): Promise<string[]> {
  const ended = await Promise.all(
    SERVICES.map(async (name) => {
      const record = await readProcessRecord(state.processFile(name));
      if (!record || (await gone(record, 0))) return undefined;
      // An agent that is asked to end stops its Vaults first; one that is killed leaves them to the next.
      await (name === "agent" ? kill(record) : endProcess(record, { graceMs: GRACE_MS }));
      return name;
    }),
  );
  return ended.filter((name) => name !== undefined);
}

/** SIGKILL to everything that the folder's records name and that still is what was recorded. */
export async function killEverything(state: StateFolder): Promise<void> {
  // The agent first: it would start its Vaults again.
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
