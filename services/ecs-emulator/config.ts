import { type Static, Type } from "typebox";

export const Config = Type.Object({
  STRONGROOM_ECS_CLUSTER: Type.String({
    pattern: "^[A-Za-z0-9_-]{1,255}$",
    description: "The cluster to run",
  }),
  STRONGROOM_ECS_REGION: Type.String({ minLength: 1, description: "The cluster's Region" }),
  STRONGROOM_AWS_EMULATOR: Type.String({
    pattern: "^https?://",
    description: "URL of the AWS emulator, which has the clusters, services and task definitions",
  }),
  STRONGROOM_LISTEN: Type.String({
    pattern: "^[0-9.]+:[0-9]{1,5}$",
    description: "host:port of this ECS API, which includes tasks, for AWS_ENDPOINT_URL_ECS",
  }),
  STRONGROOM_TASKS_DIR: Type.String({ minLength: 1, description: "Parent folder of the tasks' own folders" }),
  STRONGROOM_VAULT_BIN: Type.String({ pattern: "^/", description: "Absolute path of the Vault binary" }),
  STRONGROOM_LOG_LEVEL: Type.Enum(["fatal", "error", "warn", "info", "debug", "trace"], { default: "info" }),
});
export type Config = Static<typeof Config>;
