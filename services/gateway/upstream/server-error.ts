import { StrongroomError } from "../../shared/errors.ts";

/** Requests to which Vault answers 500 though the fault is theirs, by its own words. */
const REQUESTS_FAULT = [
  {
    words: /value being too large/,
    code: "body_too_large",
    detail: "The secret is larger than its Vault can store.",
  },
  {
    words: /resource does not exist/,
    code: "invalid_request",
    detail: "There is nothing here that can be patched.",
  },
  {
    words: /cannot unmarshal .* field KeyMetadata/,
    code: "invalid_request",
    detail: "A value is out of its range.",
  },
] as const;

/** Whether a status is Vault's answer to the request; if not, it is one of a Vault that cannot serve. */
export const isAnswer = (status: number): boolean => status < 300 || (status >= 400 && status < 500);

/**
 * What a caller is told instead of an answer that is none: a redirect, which would name another node's
 * address, or a server's error. `text` is its body, or the beginning of it; nothing of it is passed on.
 */
export function serverError(status: number, text: string): StrongroomError {
  const fault = status === 500 && REQUESTS_FAULT.find(({ words }) => words.test(text));
  if (fault) return new StrongroomError(fault.code, fault.detail, { cause: status });
  if (status === 503) {
    return new StrongroomError("org_vault_sealed", "The organization's Vault is sealed.", { cause: status });
  }
  return unavailable(status);
}

const TIMEOUTS = new Set(["UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);

/** Whether an error of a request to a Vault says that its time was over. */
export const isTimeout = (error: unknown): boolean =>
  TIMEOUTS.has((error as { code?: string } | null)?.code ?? "");

/** 504 where the Vault's time was over, 503 for all else that keeps it from answering. `cause` is for the log. */
export function unavailable(cause: unknown): StrongroomError {
  if (isTimeout(cause)) return tooLate(cause);
  return new StrongroomError("org_vault_unavailable", "The organization's Vault does not answer.", { cause });
}

export const tooLate = (cause: unknown): StrongroomError =>
  new StrongroomError("org_vault_timeout", "The organization's Vault did not answer in time.", { cause });
