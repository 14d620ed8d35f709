import type { CallFailed, CallFailure } from "../../shared/broker/calls.ts";
import { type ErrorCode, type PartError, StrongroomError } from "../../shared/errors.ts";
import type { Completion } from "../../shared/receipts/receipt.ts";

/** What a failure of a call is to the caller. */
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
  callback_refused: "callback_refused",
  provider_refused: "provider_refused",
  cancelled: "broker_unavailable",
  internal: "broker_unavailable",
};

/** A call that the broker refused, or that failed there. */
export class CallRefused extends StrongroomError {
  readonly failed: CallFailed;
  /** When the same request may come again. */
  readonly retryAfterSeconds: number | undefined;

  /** `receipt` is the id of the receipt that says what was sent. */
  constructor(failed: CallFailed, receipt?: string) {
    const { failure, detail, part, retryAfterSeconds } = failed;
    const told = receipt === undefined ? "" : ` The receipt is ${receipt}.`;
    super(CODES[failure], `${sentence(detail)}${told}`, {
      cause: failure,
      ...(part !== undefined && { errors: [deniedPart(part)] }),
    });
    this.failed = failed;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The broker's words as a sentence. */
const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;

/** What a receipt says of the outcome of a call that failed. */
export function outcomeOf({ failure, isSent }: CallFailed): Completion["outcome"] {
  if (!isSent) return "not_sent";
  if (failure === "response_blocked") return "blocked";
  return failure === "cancelled" ? "cancelled" : "failed";
}

/** The completion of a call with JSON that failed. */
export function failedCompletion(failed: CallFailed, ms: number): Completion {
  const { failure, status } = failed;
  return {
    ...{ outcome: outcomeOf(failed), failure, sentBytes: 0, receivedBytes: 0, ms, scrubbed: 0 },
    ...(status !== undefined && status >= 100 && status <= 599 && { status }),
  };
}

/** What the message says of each part of a request that no rule allows; nothing of the rules. */
const PARTS: Record<string, PartError> = {
  who: { pointer: "/who", message: "no rule is for this caller" },
  path: { pointer: "/path", message: "no rule allows this path" },
  method: { pointer: "/method", message: "no rule allows this method for this path" },
  query: { pointer: "/query", message: "no rule allows all of these members of the query" },
  content_type: { pointer: "/headers/content-type", message: "no rule allows a body of this type" },
  hours: { pointer: "/hours", message: "no rule allows this at this hour" },
};

/** The part of a request at which the rules failed, as an error's part. */
export const deniedPart = (part: string): PartError =>
  PARTS[part] ?? { pointer: `/${part}`, message: "is not allowed" };

/** The refusal of a request that no rule allows. */
export const notAllowed = (part: string): StrongroomError =>
  new StrongroomError("use_not_allowed", "No rule of the credential allows this request. See `errors`.", {
    errors: [deniedPart(part)],
  });

/** The broker did not answer, or not to the end. Nothing of the cause reaches the caller. */
export const brokerAway = (cause: Error, hasGone = false): StrongroomError => {
  const sent = hasGone ? "The request may have reached the destination." : "Nothing was sent.";
  const detail = `The broker is not responding. ${sent} Try again in a moment.`;
  return new StrongroomError("broker_unavailable", detail, { cause });
};
