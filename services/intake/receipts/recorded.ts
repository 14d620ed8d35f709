import { StrongroomError } from "../../shared/errors.ts";
import type { Completion, Intent, Receipt } from "../../shared/receipts/receipt.ts";
import { CallRefused, failedCompletion } from "../broker/failures.ts";
import type { Receipts } from "./receipts.ts";

/**
 * Does something between its receipt's intent and completion. Throws `receipts_unavailable` before anything is done, and
 * what `act` throws.
 */
export async function recorded<T>(
  receipts: Receipts,
  org: string,
  intent: Intent,
  act: (receipt: Receipt) => Promise<T>,
): Promise<T> {
  const receipt = await receipts.begin(org, intent);
  const began = performance.now();
  const ms = () => Math.round(performance.now() - began);
  try {
    const result = await act(receipt);
    await receipts.complete(org, receipt, { outcome: "answered", ...NOTHING, ms: ms() });
    return result;
  } catch (error) {
    await receipts.complete(org, receipt, completionOf(error, ms()));
    throw error;
  }
}

const NOTHING = { sentBytes: 0, receivedBytes: 0, scrubbed: 0 };

function completionOf(error: unknown, ms: number): Completion {
  const { cause } = error as { cause?: unknown };
  const refused = [error, cause].find((each) => each instanceof CallRefused);
  if (refused) return failedCompletion(refused.failed, ms);
  const isKnown = error instanceof StrongroomError && error.code !== "broker_unavailable";
  const failure = error instanceof StrongroomError ? error.code : "internal";
  return { outcome: isKnown ? "not_sent" : "unknown", failure, ...NOTHING, ms };
}
