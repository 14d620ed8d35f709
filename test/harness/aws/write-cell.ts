import { ECSClient, ListServicesCommand } from "@aws-sdk/client-ecs";
import { readText, writeJson } from "../../../services/shared/files.ts";
import { clientOf, makeCell } from "./cell.ts";

/**
 * `write-cell.ts ENDPOINT FILE`: makes the cell in an emulator that has none, and writes down what describes
 * it. Where the file is there, the emulator has to know its cluster: one that was started again knows nothing,
 * and no organization of before lives on in it.
 */
const [endpoint = "", file = ""] = process.argv.slice(2);
const kept = await readText(file);
if (kept === undefined) await writeJson(file, await makeCell(endpoint));
else {
  const { cluster } = JSON.parse(kept) as { cluster: string };
  await new ECSClient(clientOf(endpoint)).send(new ListServicesCommand({ cluster })).catch((error: Error) => {
    if (error.name !== "ClusterNotFoundException") throw error;
    process.stderr.write(
      `The emulator at ${endpoint} has forgotten the cluster ${cluster}: it keeps nothing when it stops.\n` +
        "To start over and delete all data: docker compose down --volumes\n",
    );
    process.exitCode = 4;
  });
}
