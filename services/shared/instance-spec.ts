import { type Static, Type } from "typebox";
import { OrgId } from "./org.ts";

/**
 * The desired state of one Vault server, which the control plane publishes for a runtime. It contains no secret: each
 * is named by its parameter, and resolved by the runtime that starts the instance.
 */
export const InstanceSpec = Type.Object(
  {
    org: OrgId,
    /** Storage is named by org and attempt; a new attempt never touches an older one's storage. */
    attempt: Type.Integer({ minimum: 1 }),
    /** `host:port` of its API for clients. */
    listen: Type.String({ pattern: "^[a-z0-9-]+(\\.[a-z0-9-]+)*:[0-9]{1,5}$", maxLength: 260 }),
    /**
     * Vault's server configuration as JSON. In string values, `{dir}` stands for the instance's own folder, and
     * `{address}` for its address if that is known only once it runs.
     */
    config: Type.Record(Type.String(), Type.Unknown()),
    /** Plain environment variables. The process gets these and its `secrets`, and nothing else. */
    environment: Type.Record(Type.String(), Type.String()),
    secrets: Type.Array(
      Type.Union([
        Type.Object(
          { environment: Type.String(), parameter: Type.String() },
          { additionalProperties: false },
        ),
        /** `file` is relative to the instance's own folder; written with mode 0600. */
        Type.Object({ file: Type.String(), parameter: Type.String() }, { additionalProperties: false }),
      ]),
    ),
    /** Files without secrets, relative to the instance's own folder. */
    files: Type.Optional(
      Type.Array(
        Type.Object(
          { file: Type.String(), content: Type.String({ maxLength: 65_536 }) },
          { additionalProperties: false },
        ),
        { maxItems: 10 },
      ),
    ),
    /** Changes if the process must be restarted to apply new settings or secrets. */
    restart: Type.Integer({ minimum: 0 }),
    /** Changes if the file secrets must be rewritten and SIGHUP sent to the process. */
    reload: Type.Integer({ minimum: 0 }),
  },
  { additionalProperties: false },
);
export type InstanceSpec = Static<typeof InstanceSpec>;

/** The observed state of an instance, which a runtime reports. */
export const InstanceStatus = Type.Object(
  {
    org: OrgId,
    attempt: Type.Integer(),
    state: Type.Enum(["starting", "running", "backoff", "stopped"]),
    pid: Type.Optional(Type.Integer()),
    startedAt: Type.Optional(Type.String()),
    /** Number of starts since the spec was first seen. */
    starts: Type.Integer(),
    /** The spec's `restart` and `reload` that have been applied. */
    restart: Type.Integer(),
    reload: Type.Integer(),
    exitCode: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
    /** Why it is not running, in Vault's own words if there are any. */
    lastError: Type.Optional(Type.String()),
    /** Whether free space on the audit volume is below the limit. */
    lowDisk: Type.Boolean(),
    updatedAt: Type.String(),
  },
  { additionalProperties: false },
);
export type InstanceStatus = Static<typeof InstanceStatus>;
