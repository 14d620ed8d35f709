import type { Level } from "../../shared/org.ts";
import type { Kind } from "../../shared/work/kinds.ts";
import type { DestinationRequest, FailureClass, RotationPhase } from "../../shared/work/messages.ts";
import type { Key } from "../store/store.ts";

/** A key at a provider that is to be revoked. */
export interface SurplusKey {
  /** The provider's id. */
  key: string;
  /**
   * The value that has replaced it. It is revoked only while that one is in use: somebody may have put the old one back.
   * Absent for a key that was made and never used, whose value nobody has.
   */
  replacedBy?: { version: number; key?: string };
}

/** A use of a credential for one request. */
export interface UseWork {
  type: "request";
  credential: string;
  version: number;
  level: Level;
  method: DestinationRequest["method"];
  /** Without its query. */
  path: string;
  schedule?: string;
  sealResultTo?: string;
  resultSeconds: number;
  timeoutSeconds: number;
  status?: number;
  resultUntil?: string;
}

/** The making of a sealing key. */
export interface KeyWork {
  type: "make-sealing-key";
  key: string;
}

/** A credential sealed anew, by the key provider's current key. */
export interface RewrapWork {
  type: "rewrap";
  credential: string;
  version: number;
  /** The stored value's revision when it was asked for: a result never replaces one that was stored since. */
  materialRevision: number;
}

/** A webhook's secrets sealed anew, by the key provider's current key. */
export interface RewrapSecretsWork {
  type: "rewrap-secrets";
  webhook: string;
  /** The stored secrets' revision when it was asked for: a result never replaces any that were stored since. */
  secretsRevision: number;
}

/** What one attempt of a delivery came to. */
export interface DeliveryAttempt {
  attempt: number;
  at: string;
  status?: number;
  failure?: JobFailure;
}

/** The delivery of one message of a webhook. */
export interface DeliveryWork {
  type: "deliver";
  webhook: string;
  webhookId: string;
  /** The secret's version for which the request was sealed. */
  secretVersion: number;
  url: string;
  /** The last ones, newest first. */
  attempts: DeliveryAttempt[];
  /** Attempts since it was sent or redelivered. */
  tries: number;
  nextAt?: string;
}

/** The fetch of a feed. */
export interface FetchWork {
  type: "fetch";
  feed: string;
  url: string;
}

/** A phase of a credential's rotation. */
export interface RotateWork {
  type: "rotate";
  credential: string;
  /** The current version when the run began. */
  version: number;
  phase: RotationPhase;
  /** The key to revoke, and the value that has replaced it. */
  surplus?: SurplusKey;
  /** The idempotency key for a new key, and since when one may have been made and lost. */
  making?: { once: string; since: number };
}

export type Work = UseWork | KeyWork | RewrapWork | DeliveryWork | FetchWork | RotateWork | RewrapSecretsWork;

export interface JobFailure {
  class: FailureClass;
  detail: string;
}

export interface JobEvent {
  sequence: number;
  at: string;
  attempt: number;
  state: JobRecord["state"];
}

/** A job for a worker, as the store has it. Times are RFC 3339 unless said otherwise. */
export interface JobRecord<W extends Work = Work> {
  id: string;
  org: string;
  kind: Kind;
  /** `waiting`: a delivery between two attempts. */
  state: "queued" | "waiting" | "succeeded" | "failed";
  /** From 1. A result counts only for the attempt that is queued. */
  attempt: number;
  /** When this attempt was queued; seconds since 1970. */
  queuedAt: number;
  /** After this the attempt must not start; seconds since 1970. */
  notAfter: number;
  work: W;
  failure?: JobFailure;
  events: JobEvent[];
  createdAt: string;
  endedAt?: string;
  /** Seconds since 1970, after which the record is deleted. */
  expiresAt: number;
}

/** Jobs by id. Each kind has a partition of its own, so that no worker's result reaches another kind's job. */
export const jobKey = ({ org, kind, id }: Pick<JobRecord, "org" | "kind" | "id">): Key => ({
  partition: jobsPartition(org, kind),
  sort: id,
});
export const jobsPartition = (org: string, kind: Kind): string => `org/${org}/jobs/${kind}`;

/** The envelope of a job's request, for as long as the job may be sent. */
export const requestKey = ({ org, id }: Pick<JobRecord, "org" | "id">): Key => ({
  partition: `org/${org}/requests`,
  sort: id,
});
export interface StoredRequest {
  /** base64 */
  envelope: string;
}

/** Uses and rewraps that are queued, to count them. */
export const queuedPartition = (org: string): string => `org/${org}/queued`;

/** The same record with another state, and an event that says so. */
export function inState<W extends Work>(
  job: JobRecord<W>,
  state: JobRecord["state"],
  at: string,
  attempt = job.attempt,
): JobRecord<W> {
  const last = job.events.at(-1)?.sequence ?? 0;
  const event = { sequence: last + 1, at, attempt, state };
  return { ...job, state, attempt, events: [...job.events, event].slice(-MOST_EVENTS) };
}
const MOST_EVENTS = 50;
