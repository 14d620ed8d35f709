import type { Static, TSchema } from "typebox";
import type { Intake } from "../dependencies.ts";
import type { Receipts } from "../receipts/receipts.ts";

/** What connections need. */
export interface ConnectionParts {
  intake: Intake;
  broker: {
    ask<S extends TSchema>(
      operation: string,
      body: object,
      answer: S,
      signal?: AbortSignal,
    ): Promise<Static<S>>;
  };
  receipts: Receipts;
}
