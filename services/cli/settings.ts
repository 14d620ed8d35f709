import { type Static, Type } from "typebox";
import { readConfig } from "../shared/config.ts";

const Settings = Type.Object({
  STRONGROOM_STATE: Type.String({
    default: ".strongroom",
    minLength: 1,
    description: "The platform's state folder",
  }),
  STRONGROOM_URL: Type.Optional(
    Type.String({ pattern: "^https?://[^/]+$", description: "The control plane of a platform elsewhere" }),
  ),
  STRONGROOM_TOKEN_FILE: Type.Optional(
    Type.String({ minLength: 1, description: "An operator's token for it (path of a file)" }),
  ),
});

/** What the command takes from its environment, read once. */
export interface Environment extends Static<typeof Settings> {
  /** For what looks up programs and caches, and for the `vault` program that a person runs. */
  system: Record<string, string | undefined>;
}

export function readEnvironment(env: Record<string, string | undefined>): Environment {
  return { ...readConfig(env, Settings), system: env };
}
