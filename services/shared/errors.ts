/**
 * Every error that may reach a caller, by code: HTTP status, title, and whether the same request may succeed later
 * unchanged. Details that only help an operator go to the log, as `cause`.
 */
const ERRORS = {
  invalid_request: { status: 400, title: "The request is not valid", retry: false },
  invalid_path: { status: 400, title: "The path is not in canonical form", retry: false },
  body_too_large: { status: 413, title: "The request body is too large", retry: false },
  unsupported_media_type: { status: 415, title: "The body's content type is not supported", retry: false },
  unauthenticated: { status: 401, title: "A valid token is required", retry: false },
  forbidden: { status: 403, title: "The token does not allow this", retry: false },
  not_served: { status: 403, title: "The gateway does not serve this", retry: false },
  not_found: { status: 404, title: "The resource does not exist", retry: false },
  method_not_allowed: { status: 405, title: "The method is not allowed for this path", retry: false },
  conflict: { status: 409, title: "The request conflicts with the current state", retry: false },
  precondition_failed: {
    status: 412,
    title: "The resource is not as the request's conditions say",
    retry: false,
  },
  invalid_value: { status: 422, title: "The value cannot be used", retry: false },
  invalid_destination: { status: 422, title: "The destination is not allowed", retry: false },
  sealed_value_refused: { status: 422, title: "The sealed value cannot be accepted", retry: false },
  credential_disabled: { status: 409, title: "The credential is disabled", retry: false },
  use_not_allowed: { status: 403, title: "No rule of the credential allows this", retry: false },
  grant_lost: { status: 409, title: "The provider no longer accepts the credential", retry: false },
  delegation_available: { status: 422, title: "The provider offers delegation", retry: false },
  callback_refused: { status: 422, title: "The authorization response is not accepted", retry: false },
  destination_refused: { status: 502, title: "The destination is not allowed", retry: false },
  destination_unreachable: { status: 502, title: "The destination cannot be reached", retry: true },
  destination_answer_unusable: {
    status: 502,
    title: "The destination's answer cannot be passed on",
    retry: false,
  },
  provider_refused: { status: 502, title: "The provider refused", retry: false },
  response_blocked: { status: 502, title: "The answer contained the credential", retry: false },
  destination_timeout: { status: 504, title: "The destination did not answer in time", retry: true },
  destination_circuit_open: { status: 503, title: "The destination has failed too often", retry: true },
  broker_unavailable: { status: 503, title: "The broker is not responding", retry: true },
  receipts_unavailable: { status: 503, title: "Receipts cannot be written now", retry: true },
  result_gone: { status: 410, title: "The result is no longer kept", retry: false },
  key_provider_unavailable: { status: 503, title: "The key provider is not responding", retry: true },
  store_unavailable: { status: 503, title: "The store is not responding", retry: true },
  recovery_key_unusable: { status: 422, title: "A recovery PGP key cannot be used to encrypt", retry: false },
  too_many_requests: { status: 429, title: "Too many requests", retry: true },
  internal: { status: 500, title: "Internal error", retry: true },
  issuer_keys_unreachable: { status: 503, title: "The issuer's keys cannot be fetched", retry: true },
  directory_unavailable: { status: 503, title: "No directory has been loaded yet", retry: true },
  revocations_unavailable: { status: 503, title: "Revocations cannot be read or added now", retry: true },
  internal_vault_unavailable: { status: 503, title: "The internal Vault is not responding", retry: true },
  org_vault_unavailable: { status: 503, title: "The organization's Vault is not responding", retry: true },
  org_vault_timeout: { status: 504, title: "The organization's Vault did not respond in time", retry: true },
  org_vault_sealed: { status: 503, title: "The organization's Vault is sealed", retry: true },
  step_failed: { status: 500, title: "A step of the job failed", retry: true },
  step_timeout: { status: 504, title: "A step of the job timed out", retry: true },
  quarantined: { status: 409, title: "The organization is quarantined", retry: false },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** The error codes, for schemas. */
export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[];

/** What is wrong with one part of a request: a JSON pointer, such as `/body/destination/origin`, and why. */
export interface PartError {
  pointer: string;
  message: string;
}

/**
 * An error of the closed set above. `detail` tells the caller what happened and what to do; it never holds a secret.
 */
export class StrongroomError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly title: string;
  /** Whether the same request may succeed later. */
  readonly retry: boolean;
  /** The parts of the request that are wrong. */
  readonly errors: readonly PartError[] | undefined;

  constructor(code: ErrorCode, detail: string, options: { cause?: unknown; errors?: PartError[] } = {}) {
    const { errors, ...rest } = options;
    super(detail, rest);
    this.name = "StrongroomError";
    this.code = code;
    this.status = ERRORS[code].status;
    this.title = ERRORS[code].title;
    this.retry = ERRORS[code].retry;
    this.errors = errors;
  }
}
