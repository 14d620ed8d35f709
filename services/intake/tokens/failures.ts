import type { CallFailed } from "../../shared/broker/calls.ts";
import type { Completion } from "../../shared/receipts/receipt.ts";
import { CallRefused } from "../broker/failures.ts";

/** Why there is no token, as the caller is told. */
export function tokenError(failed: CallFailed, receipt: string): CallRefused {
  const { detail } = failed;
  const text = `${detail.charAt(0).toUpperCase()}${detail.slice(1)}. The receipt is ${receipt}.`;
  return new CallRefused({ ...failed, detail: text });
}

/** What came of a call that failed. */
export function failedCompletion({ failure, isSent, status }: CallFailed, ms: number): Completion {
  const outcome = !isSent ? "not_sent" : failure === "response_blocked" ? "blocked" : "failed";
  return {
    ...{ outcome, failure, sentBytes: 0, receivedBytes: 0, ms, scrubbed: 0 },
    ...(status !== undefined && status >= 100 && status <= 599 && { status }),
  };
}
