import { join } from "node:path";

/**
 * Where things lie under the folder through which the control plane and the agent speak:
 *
 * ```
 * specs/<org>.json        what should run; published by the control plane
 * specs/<org>.withdrawn   what should no longer run; deleted by the agent once it does not
 * status/<org>.json       what does run; published by the agent
 * <org>/<attempt>/        an instance's own folder
 * ```
 */
export const specsFolder = (instances: string) => join(instances, "specs");
export const specFile = (instances: string, org: string) => join(specsFolder(instances), `${org}.json`);
export const withdrawnFile = (instances: string, org: string) =>
  join(specsFolder(instances), `${org}.withdrawn`);
export const statusFolder = (instances: string) => join(instances, "status");
export const statusFile = (instances: string, org: string) => join(statusFolder(instances), `${org}.json`);

/** An instance's own folder, `{dir}` in its spec, and what lies in it beside Vault's own files. */
export function instanceFolder(instances: string, org: string, attempt: number) {
  const dir = join(instances, org, String(attempt));
  return {
    dir,
    /** Which organization and attempt the storage belongs to; written at its first use. */
    identity: join(dir, "instance.json"),
    /** Vault's configuration; its path on the command line tells the process from any other. */
    config: join(dir, "vault.json"),
    process: join(dir, "process.json"),
    log: join(dir, "vault.log"),
    audit: [join(dir, "audit-1.log"), join(dir, "audit-2.log")] as [string, string],
    /** Holds a live organization. */
    ready: join(dir, "ready"),
    /** Never to be started again; holds the reason. */
    setAside: join(dir, "set-aside"),
  };
}
