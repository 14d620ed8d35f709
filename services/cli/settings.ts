import { type Static, Type } from "typebox";
import { readConfig } from "../shared/config.ts";

const Settings = Type.Object({
  STRONGROOM_STATE: Type.String({
    default: ".strongroom",
    minLength: 1,
    description: "The platform's state folder",
  }),
  STRONGROOM_URL: Type.Optional(
    Type.String({
      pattern: "^https?://[^/]+$",
      description: "The control plane of a platform on another machine",
    }),
  ),
  STRONGROOM_INTAKE: Type.Optional(
    Type.String({
      pattern: "^https?://[^/]+$",
      description: "The intake of credentials of a platform on another machine",
    }),
  ),
  STRONGROOM_TOKEN_FILE: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        "Path of a file with a token: an operator's for STRONGROOM_URL, a member's for STRONGROOM_INTAKE",
    }),
  ),
});

/** The command's environment, read once. */
export interface Environment extends Static<typeof Settings> {
  /** The whole environment: to find programs and caches, and for the `vault` program that a user runs. */
  system: Record<string, string | undefined>;
}

export function readEnvironment(env: Record<string, string | undefined>): Environment {
  return { ...readConfig(env, Settings), system: env };
}
