import type { InstanceSpec, InstanceStatus } from "../../shared/instance-spec.ts";
import type { ServerPlace } from "../../shared/vault/server-config.ts";

/**
 * What runs organizations' Vaults. The control plane publishes what should run and reads what does; it
 * starts no process itself, so its own end touches no Vault.
 */
export interface Runtime {
  /** How long, ms, an instance may take from being published to run, and from then on to answer. */
  readonly patience: { startMs: number; answerMs: number };

  /**
   * The `host:port` at which an organization's Vault will be reached. On one machine each call gives another,
   * free and named by no other instance; the caller records it.
   */
  allocate(org: string): Promise<string>;

  /** Where an attempt's server, reached at `listen`, itself listens and stores. */
  place(org: string, attempt: number, listen: string): ServerPlace;

  /** Publishes what should run for an organization, in place of what was published before. */
  publish(spec: InstanceSpec): Promise<void>;

  /**
   * Withdraws the organization's spec and waits until its process has ended. Withdrawing what is not
   * published is no error. StrongroomError `step_timeout` if that was not confirmed in time (the spec stays
   * withdrawn; calling again waits again).
   */
  remove(org: string): Promise<void>;

  /**
   * Called again and again while what should run does not: makes again what of it is gone, and has another try
   * made where the runtime itself has given up.
   */
  recover(spec: InstanceSpec): Promise<void>;

  /** The last reported status, or undefined where none was. */
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

  /** Marks an attempt's storage as holding a live organization: it can then be set aside only as `deleted`. */
  markReady(org: string, attempt: number): Promise<void>;

  hasReadyMarker(org: string, attempt: number): Promise<boolean>;

  /**
   * Marks an attempt's storage as never to be started again. Nothing is wiped. StrongroomError
   * `quarantined` if it carries the ready marker and the reason is not `deleted`.
   */
  setAside(org: string, attempt: number, reason: string): Promise<void>;

  /** Where the attempt's Vault writes its two audit logs, as that process sees it. */
  auditFiles(org: string, attempt: number): readonly [string, string];
}
