import type { InstanceSpec, InstanceStatus } from "../../shared/instance-spec.ts";
import type { ServerPlace } from "../../shared/vault/server-config.ts";

/**
 * Runs the organizations' Vaults. The control plane publishes the desired instances and reads their status; it
 * starts no process itself, so its own end affects no Vault.
 */
export interface Runtime {
  /** Time limits, in ms, for a published instance to run, and from then on to answer. */
  readonly patience: { startMs: number; answerMs: number };

  /**
   * The `host:port` at which an organization's Vault will be reached. On one machine each call returns another one
   * that is free and not assigned to any instance; the caller records it.
   */
  allocate(org: string): Promise<string>;

  /** The listener and the storage of an attempt's server, which is reached at `listen`. */
  place(org: string, attempt: number, listen: string): ServerPlace;

  /** Publishes an organization's desired instance, which replaces the previous one. */
  publish(spec: InstanceSpec): Promise<void>;

  /**
   * Withdraws the organization's spec and waits until its process has ended. It is no error if none is published.
   * Throws StrongroomError `step_timeout` if the end is not confirmed in time (the spec stays withdrawn; another call
   * waits again).
   */
  remove(org: string): Promise<void>;

  /**
   * Called repeatedly while the desired instance does not run: recreates missing parts, and retries if the runtime
   * itself has given up.
   */
  recover(spec: InstanceSpec): Promise<void>;

  /** The last reported status, or undefined if there is none. */
  observe(org: string): Promise<InstanceStatus | undefined>;

  /**
   * Waits for a status that meets the condition. StrongroomError `step_timeout`, with the last known reason,
   * after `timeoutMs`; rejects with the signal's reason when it aborts.
   */
  waitFor(
    org: string,
    condition: (status: InstanceStatus) => boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<InstanceStatus>;

  /** Marks an attempt's storage as a live organization's: then it can be set aside only as `deleted`. */
  markReady(org: string, attempt: number): Promise<void>;

  hasReadyMarker(org: string, attempt: number): Promise<boolean>;

  /**
   * Marks an attempt's storage as never to be used again. Nothing is erased. Throws StrongroomError `quarantined` if
   * it has the ready marker and the reason is not `deleted`.
   */
  setAside(org: string, attempt: number, reason: string): Promise<void>;

  /** The paths of the attempt's two audit logs, as its Vault process sees them. */
  auditFiles(org: string, attempt: number): readonly [string, string];
}
