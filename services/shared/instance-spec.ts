import { type Static, Type } from "typebox";
import { OrgId } from "./org.ts";

/**
 * What the control plane publishes for a runtime to run: one Vault server. It holds no secret; each
 * secret is named by its parameter and resolved by whoever starts the instance.
 */
export const InstanceSpec = Type.Object(
  {
    org: OrgId,
    /** Storage is named by org and attempt; a new attempt never touches an older one's storage. */
    attempt: Type.Integer({ minimum: 1 }),
    /** `host:port` at which others reach its API. */
    listen: Type.String({ pattern: "^[a-z0-9-]+(\\.[a-z0-9-]+)*:[0-9]{1,5}$", maxLength: 260 }),
    /**
     * Vault's server configuration as JSON. In a string value `{dir}` is the instance's own folder and
     * `{address}` its address, where that is known only once it runs.
     */
    config: Type.Record(Type.String(), Type.Unknown()),
    /** Plain environment, beside which the process gets nothing but its `secrets`. */
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
    /** Files that are no secret, relative to the instance's own folder. */
    files: Type.Optional(
      Type.Array(
        Type.Object(
          { file: Type.String(), content: Type.String({ maxLength: 65_536 }) },
          { additionalProperties: false },
        ),
        { maxItems: 10 },
      ),
    ),
    /** Changes when the process must be restarted to take new settings or secrets. */
    restart: Type.Integer({ minimum: 0 }),
    /** Changes when file secrets must be written again and the process sent SIGHUP. */
    reload: Type.Integer({ minimum: 0 }),
  },
  { additionalProperties: false },
);
export type InstanceSpec = Static<typeof InstanceSpec>;

/** What a runtime reports of an instance. */
export const InstanceStatus = Type.Object(
  {
    org: OrgId,
    attempt: Type.Integer(),
    state: Type.Enum(["starting", "running", "backoff", "stopped"]),
    pid: Type.Optional(Type.Integer()),
    startedAt: Type.Optional(Type.String()),
    /** Starts since the spec was first seen. */
    starts: Type.Integer(),
    /** The spec's `restart` and `reload` that are in force. */
    restart: Type.Integer(),
    reload: Type.Integer(),
    exitCode: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
    /** Why it is not running, in Vault's own words where it gave any. */
    lastError: Type.Optional(Type.String()),
    /** Free bytes on the audit volume fell below the limit. */
    lowDisk: Type.Boolean(),
    updatedAt: Type.String(),
  },
  { additionalProperties: false },
);
export type InstanceStatus = Static<typeof InstanceStatus>;
