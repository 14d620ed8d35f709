import { canonicalJson } from "../../shared/canonical-json.ts";
import type { Intent, Receipt } from "../../shared/receipts/receipt.ts";
import { UseFailure } from "./use-failure.ts";

/**
 * Throws UseFailure `receipt_mismatch` unless a receipt is the intent of exactly what the broker itself is about to do. The
 * digest of a body is compared with the body, by whoever sends it.
 */
export function checkReceipt({ entry }: Receipt, expected: Intent): void {
  if (entry.type === "intent") {
    const { type: _type, sequence: _sequence, at: _at, bodyDigest: _bodyDigest, ...said } = entry;
    if (canonicalJson(said) === canonicalJson(expected)) return;
  }
  throw new UseFailure("receipt_mismatch", "the receipt does not describe the call");
}
