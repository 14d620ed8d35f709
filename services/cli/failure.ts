import { ConfigError } from "../shared/config.ts";
import { type ErrorCode, StrongroomError } from "../shared/errors.ts";

/** What each exit status of the command means; `strongroom --help` prints this list. */
export const EXIT_STATUS = {
  ok: { status: 0, meaning: "done" },
  failure: { status: 1, meaning: "it failed; the message says why" },
  usage: { status: 2, meaning: "the command line or a value in it is wrong" },
  notFound: { status: 3, meaning: "there is no such organization or job" },
  conflict: { status: 4, meaning: "it conflicts with what exists" },
  unavailable: { status: 69, meaning: "something needed is not running, or not to be had" },
  permission: { status: 77, meaning: "the token does not allow it" },
  config: { status: 78, meaning: "a setting is wrong" },
  interrupted: { status: 130, meaning: "interrupted" },
} as const;

export type Exit = keyof typeof EXIT_STATUS;

/** Ends a command: a sentence on what went wrong, and, as `hint`, what to do about it. */
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

/** What the API says of a token of which it can say no more. */
const NEEDS_TOKEN = "This needs a valid token.";

const EXIT_OF: Partial<Record<ErrorCode, Exit>> = {
  invalid_request: "usage",
  recovery_key_unusable: "usage",
  unauthenticated: "permission",
  forbidden: "permission",
  not_found: "notFound",
  conflict: "conflict",
  quarantined: "conflict",
  internal_vault_unavailable: "unavailable",
  org_vault_unavailable: "unavailable",
  org_vault_timeout: "unavailable",
  org_vault_sealed: "unavailable",
};

/** The failure that any error amounts to. What nobody foresaw keeps its message, never its stack. */
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
    return "Put an operator's token in the file that STRONGROOM_TOKEN_FILE names";
  if (code === "unauthenticated")
    return "Operators' tokens live for minutes: is the one in STRONGROOM_TOKEN_FILE still good?";
  return retry ? "The same command may work in a moment." : undefined;
}
