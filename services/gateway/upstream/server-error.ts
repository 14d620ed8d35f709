import { StrongroomError } from "../../shared/errors.ts";

/** Requests at fault to which Vault nevertheless answers 500, recognized by its message. */
const REQUESTS_FAULT = [
  {
    words: /value being too large/,
    code: "body_too_large",
    detail: "The secret is larger than the organization's Vault can store.",
  },
  {
    words: /resource does not exist/,
    code: "invalid_request",
    detail: "There is no secret here to patch. Write it first.",
  },
  {
    words: /cannot unmarshal .* field KeyMetadata/,
    code: "invalid_request",
    detail: "A value in the body is out of range.",
  },
] as const;

/** Whether a status answers the request (2xx, 4xx); any other means that the Vault cannot serve. */
export const isAnswer = (status: number): boolean => status < 300 || (status >= 400 && status < 500);

/**
 * The error that a caller gets instead of a redirect, which would reveal another node's address, or a server error.
 * `text` is the beginning of Vault's body; nothing of it is passed on.
 */
export function serverError(status: number, text: string): StrongroomError {
  const fault = status === 500 && REQUESTS_FAULT.find(({ words }) => words.test(text));
  if (fault) return new StrongroomError(fault.code, fault.detail, { cause: status });
  if (status === 503) {
    const detail = "The organization's Vault is sealed. It unseals itself; try again in a moment.";
    return new StrongroomError("org_vault_sealed", detail, { cause: status });
  }
  return unavailable(status);
}

const TIMEOUTS = new Set(["UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);

/** Whether an error is a timeout of a request to a Vault. */
export const isTimeout = (error: unknown): boolean =>
  TIMEOUTS.has((error as { code?: string } | null)?.code ?? "");

/** 504 for a timeout, 503 for any other failure to reach the Vault. `cause` is for the log. */
export function unavailable(cause: unknown): StrongroomError {
  if (isTimeout(cause)) return tooLate(cause);
  const detail = "The organization's Vault is not responding. Try again in a moment.";
  return new StrongroomError("org_vault_unavailable", detail, { cause });
}

export const tooLate = (cause: unknown): StrongroomError =>
  new StrongroomError("org_vault_timeout", "The organization's Vault did not respond in time. Try again.", {
    cause,
  });
