import type { CallFailed, CallFailure } from "../../shared/broker/calls.ts";
import { type ErrorCode, StrongroomError } from "../../shared/errors.ts";
import type { Completion } from "../../shared/receipts/receipt.ts";

const CODES: Record<CallFailure, ErrorCode> = {
  malformed: "internal",
  unauthenticated: "unauthenticated",
  forbidden: "forbidden",
  not_allowed: "use_not_allowed",
  rate_limited: "too_many_requests",
  receipt_mismatch: "internal",
  not_openable: "sealed_value_refused",
  key_unavailable: "key_provider_unavailable",
  unusable_value: "invalid_value",
  token_needed: "broker_unavailable",
  destination_refused: "destination_refused",
  unreachable: "destination_unreachable",
  circuit_open: "destination_circuit_open",
  timeout: "destination_timeout",
  answer_unusable: "destination_answer_unusable",
  response_blocked: "response_blocked",
  provider_refused: "provider_refused",
  cancelled: "broker_unavailable",
  internal: "broker_unavailable",
};

/** Why there is no token, as the caller is told. */
export function tokenError({ failure, detail, part }: CallFailed, receipt: string): StrongroomError {
  const text = `${detail.charAt(0).toUpperCase()}${detail.slice(1)}. The receipt is ${receipt}.`;
  return new StrongroomError(CODES[failure], text, {
    ...(failure === "not_allowed" &&
      part !== undefined && { errors: [{ pointer: `/body/${part}`, message: "is not allowed" }] }),
  });
}

/** What came of a call that failed. */
export function failedCompletion({ failure, isSent, status }: CallFailed, ms: number): Completion {
  const outcome = !isSent ? "not_sent" : failure === "response_blocked" ? "blocked" : "failed";
  return {
    ...{ outcome, failure, sentBytes: 0, receivedBytes: 0, ms, scrubbed: 0 },
    ...(status !== undefined && status >= 100 && status <= 599 && { status }),
  };
}
