import { StrongroomError } from "../errors.ts";

const LONGEST_MESSAGE = 300;

/** AWS refused a call or did not answer. Contains AWS's own code and request id, nothing of the request. */
export class AwsError extends StrongroomError {
  /** AWS's error name, such as `AccessDeniedException`, or the network's, such as `ECONNREFUSED`. */
  readonly awsCode: string;
  readonly requestId: string | undefined;

  /** `operation` is like `ECS CreateService`; `message` is AWS's, if it cannot contain a secret. */
  constructor(operation: string, awsCode: string, requestId?: string, message?: string) {
    const about = requestId ? ` (request ${requestId})` : "";
    super("step_failed", `${operation}: ${awsCode}${about}${message ? `: ${message}` : ""}`);
    this.name = "AwsError";
    this.awsCode = awsCode;
    this.requestId = requestId;
  }
}

/**
 * Converts an error of the SDK, with AWS's own message; pass `withMessage: false` if that could repeat a value of the
 * request.
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

/** Whether an error is an AwsError with one of these codes. */
export const hasAwsCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof AwsError && codes.includes(error.awsCode);
