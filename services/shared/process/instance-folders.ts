import { join } from "node:path";

/**
 * The layout of the folder through which the control plane and the agent communicate:
 *
 * ```
 * specs/<org>.json        the desired instance; published by the control plane
 * specs/<org>.withdrawn   an instance to stop; deleted by the agent once it has stopped
 * status/<org>.json       the actual instance; published by the agent
 * <org>/<attempt>/        an instance's own folder
 * ```
 */
export const specsFolder = (instances: string) => join(instances, "specs");
export const specFile = (instances: string, org: string) => join(specsFolder(instances), `${org}.json`);
export const withdrawnFile = (instances: string, org: string) =>
  join(specsFolder(instances), `${org}.withdrawn`);
export const statusFolder = (instances: string) => join(instances, "status");
export const statusFile = (instances: string, org: string) => join(statusFolder(instances), `${org}.json`);

/** An instance's own folder, `{dir}` in its spec, and the files in it besides Vault's own. */
export function instanceFolder(instances: string, org: string, attempt: number) {
  const dir = join(instances, org, String(attempt));
  return {
    dir,
    /** The organization and attempt of the storage; written at its first use. */
    identity: join(dir, "instance.json"),
    /** Vault's configuration; its path on the command line identifies the process. */
    config: join(dir, "vault.json"),
    process: join(dir, "process.json"),
    log: join(dir, "vault.log"),
    audit: [join(dir, "audit-1.log"), join(dir, "audit-2.log")] as [string, string],
    /** Marks the storage of a live organization. */
    ready: join(dir, "ready"),
    /** Marks storage never to be used again; contains the reason. */
    setAside: join(dir, "set-aside"),
  };
}
