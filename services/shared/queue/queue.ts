/**
 * A queue that delivers at least once: a message may come again, also while its first delivery is still being
 * handled, and in any order. `embedded.ts` is on SQLite, between processes of one machine; `sqs.ts` is Amazon SQS.
 */
export interface Queue {
  /**
   * Sends a message. Resolves once it is durable. Throws {@link QueueUnavailableError}; RangeError for what SQS would
   * refuse.
   */
  send(message: Outgoing): Promise<void>;
  /** Delivers messages to the handler until `close`. At most one call. */
  consume(options: ConsumeOptions, handler: Handler): Consumption;
  close(): Promise<void>;
}

export interface Outgoing {
  /** At most 1 MiB of text (SQS's own limit), with the characters of XML 1.0: JSON without U+FFFE and U+FFFF. */
  body: string;
  /** Messages of one group do not hold up those of others: the organization's id. */
  group: string;
  /** At most 900. */
  delaySeconds?: number;
}

export interface Delivery {
  body: string;
  /** How often this message has been received, with this time; from 1. */
  receiveCount: number;
  /** Aborted when the consumption stops or the message's lease is lost. */
  signal: AbortSignal;
}

/** What becomes of a delivered message. A handler that throws means `retry`. */
export type Disposition =
  | { done: true }
  /** At most 12 hours; more counts as that. */
  | { retryAfterSeconds: number }
  /** Moves it to the dead letters, with the reason's class. A queue without dead letters drops it. */
  | { park: string };
export type Handler = (delivery: Delivery) => Promise<Disposition>;

export interface ConsumeOptions {
  concurrency: number;
  /** How long a message stays invisible without a heartbeat, in seconds. Heartbeats extend it while it is handled. */
  visibilitySeconds: number;
  /** After so many deliveries it is parked. */
  maxReceives: number;
  /** Messages of one group in hand at once. */
  perGroup?: number;
  /** Told, at least once, of a message that a queue without dead letters deletes instead. Must not throw. */
  onDropped?(body: string, reason: string): void;
}

export interface Consumption {
  /** Takes no more messages, and waits for those in hand, for at most `graceMs`; those left come again elsewhere. */
  stop(graceMs: number): Promise<void>;
}

export interface DeadLetter {
  id: string;
  body: string;
  reason: string;
  /** Milliseconds since 1970. */
  at: number;
}

/** What an operator does with a queue's dead letters. */
export interface DeadLetters {
  list(limit: number): Promise<DeadLetter[]>;
  /** Sends dead letters back to the queue, all or the one with this id. Returns how many. */
  redrive(id?: string): Promise<number>;
}

/** Those of a queue that has none. */
export const NO_DEAD_LETTERS: DeadLetters = { list: async () => [], redrive: async () => 0 };

/** The queue could not be reached or did not accept the message; the same call may succeed later. */
export class QueueUnavailableError extends Error {
  override name = "QueueUnavailableError";
}
