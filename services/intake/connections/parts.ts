import type { Static, TSchema } from "typebox";
import { StrongroomError } from "../../shared/errors.ts";
import { CallRefused } from "../broker/failures.ts";
import type { Intake } from "../dependencies.ts";
import type { Receipts } from "../receipts/receipts.ts";

/** What connections need. */
export interface ConnectionParts {
  intake: Intake;
  receipts: Receipts;
}

/** Asks the broker. A part of the request that it does not allow is the caller's to change. Throws StrongroomError. */
export async function askBroker<T extends TSchema>(
  { intake: { broker } }: ConnectionParts,
  operation: `connection-${"begin" | "complete" | "revoke"}`,
  call: object,
  answer: T,
  signal: AbortSignal,
): Promise<Static<T>> {
  try {
    return await broker.ask(operation, call, answer, signal);
  } catch (error) {
    if (!(error instanceof CallRefused) || error.failed.failure !== "not_allowed") throw error;
    const { detail, part } = error.failed;
    throw new StrongroomError("invalid_destination", detail, {
      cause: error,
      ...(part !== undefined && { errors: [{ pointer: `/body/${part}`, message: detail }] }),
    });
  }
}
