import { StrongroomError } from "../errors.ts";

const LONGEST_MESSAGE = 300;

/** AWS refused, or did not answer. Holds AWS's own code and request id, nothing of the request. */
export class AwsError extends StrongroomError {
  /** AWS's name of the error, as `AccessDeniedException`, or the network's, as `ECONNREFUSED`. */
  readonly awsCode: string;
  readonly requestId: string | undefined;

  /** `operation` is like `ECS CreateService`; `message` is AWS's, where it can hold nothing of a secret. */
  constructor(operation: string, awsCode: string, requestId?: string, message?: string) {
    const about = requestId ? ` (request ${requestId})` : "";
    super("step_failed", `${operation}: ${awsCode}${about}${message ? `: ${message}` : ""}`);
    this.name = "AwsError";
    this.awsCode = awsCode;
    this.requestId = requestId;
  }
}

/**
 * What an SDK's error is, in its own words; `withMessage: false` where AWS's message could repeat a value
 * that was sent.
 */
export function awsError(operation: string, error: unknown, { withMessage = true } = {}): AwsError {
  const { name, code, message, $metadata } = error as {
    name?: string;
    code?: string;
    message?: string;
    $metadata?: { requestId?: string };
  };
  const words = message?.replace(/\s+/g, " ").trim().slice(0, LONGEST_MESSAGE);
  const isAws = $metadata?.requestId !== undefined;
  return new AwsError(
    operation,
    (isAws ? name : (code ?? name)) ?? "unknown",
    $metadata?.requestId,
    withMessage && words ? words : undefined,
  );
}

/** Whether an error is AWS's of one of these names. */
export const hasAwsCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof AwsError && codes.includes(error.awsCode);
