import type { Static, TSchema } from "typebox";
import type { Outcome } from "../shared/work/messages.ts";

/** How far a job has come: the points at which a test ends the worker. */
export type Step = "received" | "opened" | "sent" | "answered";

export interface Run {
  /** Aborted if the worker stops or has lost the message to another one. */
  signal: AbortSignal;
  reached(step: Step): void;
}

/** What one kind of worker does with the messages of its queue. */
export interface Work<S extends TSchema = TSchema> {
  /** Of the messages that it takes. */
  schema: S;
  /** Throws JobFailure, EnvelopeRefused or KeyProviderError. */
  perform(message: Static<S>, run: Run): Promise<Outcome>;
}
