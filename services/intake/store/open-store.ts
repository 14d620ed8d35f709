import { ConfigError } from "../../shared/config.ts";
import { sqliteStore } from "./sqlite.ts";
import type { Store } from "./store.ts";

/** The form of the setting `STRONGROOM_STORE`. */
export const STORE_PATTERN = "^(sqlite:.+|dynamodb:[a-zA-Z0-9_.-]{3,255})$";

/**
 * Opens the store that a setting names: `sqlite:FILE` or `dynamodb:TABLE`. Region, endpoint and credentials are the AWS
 * SDK's own unless given. Throws ConfigError for any other setting.
 */
export async function openStore(setting: string, aws: { region?: string } = {}): Promise<Store> {
  if (!new RegExp(STORE_PATTERN).test(setting)) {
    throw new ConfigError("STRONGROOM_STORE: expected sqlite:FILE or dynamodb:TABLE");
  }
  const [kind = "", name = ""] = setting.split(/:(.*)/s);
  if (kind === "sqlite") return sqliteStore(name);
  // Loaded only here: the AWS SDK takes longer to load than everything else.
  const { dynamodbStore } = await import("./dynamodb.ts");
  return dynamodbStore({ table: name, ...aws });
}
