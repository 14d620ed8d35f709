import { StrongroomError } from "../../errors.ts";

/** Why a token was refused, for the log. The caller only learns that a valid token is required. */
export type Refusal =
  | "token_missing"
  | "token_headers_differ"
  | "token_header_repeated"
  | "authorization_scheme"
  | "token_too_large"
  | "token_form"
  | "token_header_member"
  | "token_type"
  | "issuer_unknown"
  | "algorithm_not_allowed"
  | "kid_missing"
  | "kid_unknown"
  | "key_unfit"
  | "signature"
  | "audience"
  | "subject"
  | "token_id"
  | "times_missing"
  | "expired"
  | "not_yet_valid"
  | "issued_in_future"
  | "lifetime_too_long"
  | "org_claim"
  | "groups_claim"
  | "permissions_claim"
  | "machine_token"
  | "revoked";

/** A token is missing or not accepted: 401, with the reason for the log only. */
export class TokenRefused extends StrongroomError {
  override name = "TokenRefused";
  readonly reason: Refusal;

  constructor(reason: Refusal, cause?: unknown) {
    super("unauthenticated", "This needs a valid token.", { cause });
    this.reason = reason;
  }
}
