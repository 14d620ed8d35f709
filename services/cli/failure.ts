import { ConfigError } from "../shared/config.ts";
import { type ErrorCode, StrongroomError } from "../shared/errors.ts";

/** What each exit status of the command means; `strongroom --help` prints this list. */
export const EXIT_STATUS = {
  ok: { status: 0, meaning: "success" },
  failure: { status: 1, meaning: "failure; the message says why" },
  usage: { status: 2, meaning: "invalid command line or argument" },
  notFound: { status: 3, meaning: "the organization, job or credential does not exist" },
  conflict: { status: 4, meaning: "conflict with the current state" },
  unavailable: { status: 69, meaning: "a dependency is not running or cannot be found" },
  permission: { status: 77, meaning: "permission denied" },
  config: { status: 78, meaning: "invalid setting" },
  interrupted: { status: 130, meaning: "interrupted" },
} as const;

export type Exit = keyof typeof EXIT_STATUS;

/** Ends a command: `message` says what went wrong, `hint` what to do next. */
export class Failure extends Error {
  override name = "Failure";
  readonly exit: Exit;
  readonly hint: string | undefined;

  constructor(exit: Exit, message: string, hint?: string) {
    super(message);
    this.exit = exit;
    this.hint = hint;
  }
}

/** The API's answer to a token whose fault it does not disclose. */
const NEEDS_TOKEN = "This needs a valid token.";

const EXIT_OF: Partial<Record<ErrorCode, Exit>> = {
  invalid_request: "usage",
  body_too_large: "usage",
  invalid_value: "usage",
  invalid_destination: "usage",
  sealed_value_refused: "usage",
  callback_refused: "conflict",
  delegation_available: "conflict",
  grant_lost: "conflict",
  recovery_key_unusable: "usage",
  invalid_path: "usage",
  use_not_allowed: "permission",
  precondition_failed: "conflict",
  broker_unavailable: "unavailable",
  destination_unreachable: "unavailable",
  destination_timeout: "unavailable",
  destination_circuit_open: "unavailable",
  unauthenticated: "permission",
  forbidden: "permission",
  not_found: "notFound",
  result_gone: "notFound",
  conflict: "conflict",
  credential_disabled: "conflict",
  quarantined: "conflict",
  key_provider_unavailable: "unavailable",
  store_unavailable: "unavailable",
  receipts_unavailable: "unavailable",
  internal_vault_unavailable: "unavailable",
  org_vault_unavailable: "unavailable",
  org_vault_timeout: "unavailable",
  org_vault_sealed: "unavailable",
};

/** Converts any error to a failure. An unexpected error keeps its message, never its stack. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof StrongroomError) {
    return new Failure(EXIT_OF[error.code] ?? "failure", error.message, hintFor(error));
  }
  if (error instanceof ConfigError) return new Failure("config", error.message);
  return new Failure("failure", error instanceof Error ? error.message : String(error));
}

function hintFor({ code, message, retry }: StrongroomError): string | undefined {
  if (code === "unauthenticated" && message !== NEEDS_TOKEN)
    return "Put an operator's token in the file at STRONGROOM_TOKEN_FILE";
  if (code === "unauthenticated")
    return "Operators' tokens expire after minutes. Check the one in STRONGROOM_TOKEN_FILE, or get a new one.";
  if (code === "delegation_available")
    return "See `strongroom connection start --help`; to store the key all the same: --reason TEXT";
  return retry ? "Try the same command again in a moment." : undefined;
}
