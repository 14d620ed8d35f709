import { type Static, Type } from "typebox";
import { parameterSettings } from "../shared/parameters/parameter-settings.ts";

const MEBIBYTE = 1024 * 1024;

export const Config = Type.Object({
  ...parameterSettings,
  STRONGROOM_INSTANCES_DIR: Type.String({
    minLength: 1,
    description: "Folder shared with the control plane, with specs, status and the instances' own folders",
  }),
  STRONGROOM_VAULT_BIN: Type.String({ pattern: "^/", description: "Absolute path of the Vault binary" }),
  STRONGROOM_AUDIT_MAX_BYTES: Type.Integer({
    minimum: 1024,
    default: 100 * MEBIBYTE,
    description: "Size in bytes at which an audit file is rotated",
  }),
  STRONGROOM_AUDIT_KEEP: Type.Integer({
    minimum: 1,
    maximum: 1000,
    default: 10,
    description: "Number of rotated files kept per audit file; older ones are deleted",
  }),
  STRONGROOM_LOW_DISK_BYTES: Type.Integer({
    minimum: 0,
    default: 1024 * MEBIBYTE,
    description: "Free bytes on the instances' volume below which the status and the log warn",
  }),
  STRONGROOM_LOG_LEVEL: Type.Enum(["fatal", "error", "warn", "info", "debug", "trace"], { default: "info" }),
});
export type Config = Static<typeof Config>;
