import type { CallFailed, CallFailure } from "../../shared/broker/calls.ts";
import { EnvelopeRefused } from "../../shared/envelope/envelope-refused.ts";
import { KeyProviderError } from "../../shared/envelope/key-provider.ts";
import type { FailureClass } from "../../shared/work/messages.ts";
import { JobFailure } from "../job-failure.ts";
import { ResponseBlocked } from "../scrub/stream.ts";
import { UseFailure } from "./use-failure.ts";

/** Failures of jobs that have another name for calls. */
const RENAMED: Record<Exclude<FailureClass, CallFailure>, CallFailure> = {
  request_not_allowed: "not_allowed",
  policy_mismatch: "not_openable",
  answer_too_large: "answer_unusable",
  answer_not_scrubbable: "answer_unusable",
  expired: "timeout",
};

const isRenamed = (failure: FailureClass): failure is keyof typeof RENAMED => Object.hasOwn(RENAMED, failure);

/** Any error as the failure of a call; what is unexpected is `internal`, and tells nothing. */
export function asUseFailure(error: unknown): UseFailure {
  if (error instanceof UseFailure) return error;
  if (error instanceof JobFailure) {
    const { failure } = error;
    return new UseFailure(isRenamed(failure) ? RENAMED[failure] : failure, error.message);
  }
  if (error instanceof EnvelopeRefused) {
    return new UseFailure("not_openable", "the credential was not sealed for this use");
  }
  if (error instanceof KeyProviderError) {
    return new UseFailure("key_unavailable", "the key provider does not answer with the key now");
  }
  if (error instanceof ResponseBlocked) {
    return new UseFailure("response_blocked", "the answer contained the credential and was cut off");
  }
  return new UseFailure("internal", "the broker failed");
}

/** What the intake is told of a failure. */
export const asCallFailed = ({ failure, message, parts }: UseFailure, isSent: boolean): CallFailed => ({
  failure,
  detail: message,
  isSent,
  ...parts,
});
