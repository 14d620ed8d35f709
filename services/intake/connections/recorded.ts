import { StrongroomError } from "../../shared/errors.ts";
import type { Completion, Intent, Receipt } from "../../shared/receipts/receipt.ts";
import type { ConnectionParts } from "./parts.ts";

/**
 * Does something that reaches a provider, between its receipt's intent and completion. Throws `receipts_unavailable`
 * before anything is done, and what `act` throws.
 */
export async function recorded<T>(
  { receipts }: Pick<ConnectionParts, "receipts">,
  org: string,
  intent: Intent,
  act: (receipt: Receipt) => Promise<T>,
): Promise<T> {
  const receipt = await receipts.begin(org, intent);
  const began = performance.now();
  const complete = (outcome: Completion["outcome"], failure?: string) =>
    receipts.complete(org, receipt, {
      ...{ outcome, sentBytes: 0, receivedBytes: 0, scrubbed: 0, ms: Math.round(performance.now() - began) },
      ...(failure !== undefined && { failure }),
    });
  try {
    const result = await act(receipt);
    await complete("answered");
    return result;
  } catch (error) {
    await complete("failed", error instanceof StrongroomError ? error.code : "internal");
    throw error;
  }
}
