import { type Grant, tokenEndpoint } from "../../../shared/broker/grant.ts";
import type { Narrowed } from "../../../shared/broker/narrow.ts";
import { isWho } from "../../../shared/broker/rules.ts";
import { type TokenAnswer, TokenCall } from "../../../shared/broker/tokens.ts";
import { isPublicKey, sealResult } from "../../../shared/envelope/sealing.ts";
import type { Intent } from "../../../shared/receipts/receipt.ts";
import { checkReceipt } from "../check-receipt.ts";
import { type Operation, operation } from "../operations.ts";
import { UseFailure } from "../use-failure.ts";
import type { VerifiedCaller } from "../verified-caller.ts";
import type { HeldToken } from "./held-tokens.ts";
import { allowedOf, grantOf, type Tokens } from "./tokens.ts";

/** Turns a credential into a token. If the intake goes, an exchange that has begun still ends, and its result is kept. */
export const tokenOperation = (tokens: Tokens): Operation =>
  operation("token", TokenCall, (call, { caller, sends }) => answerToken(tokens, call, caller, sends));

/**
 * A token for a caller whom the broker has verified. Throws what {@link Tokens.obtain} throws, `not_allowed` if the token
 * is not for this caller, and `receipt_mismatch`.
 */
export async function answerToken(
  tokens: Tokens,
  call: TokenCall,
  caller: VerifiedCaller,
  sends: () => void,
): Promise<TokenAnswer> {
  const { org, credential, asked, mayExchange } = call;
  const grant = grantOf(credential.policy);
  // For uses, a caller for whom there is a rule may have it obtained, and does not get it.
  const who = call.for === "caller" ? [grant.who] : credential.policy.rules.map((rule) => rule.who);
  if (!who.some((each) => isWho(each, caller))) {
    throw new UseFailure("not_allowed", "the credential's policy has no token for this caller", {
      part: "who",
    });
  }
  checkReceipt(call.receipt, intentOf(call, caller, grant, allowedOf(grant, asked)));
  const sealTo = await sealingKey(call);
  const obtained = await tokens.obtain({ org, credential, asked, mayExchange, sends });
  if ("token" in obtained) return await answered(call, obtained.token, sealTo);
  const { refused, ...replaced } = obtained.replaced;
  return {
    ...{ state: "replaced", ...replaced },
    ...(refused && {
      refused: { failure: refused.failure, detail: refused.message, isSent: true, ...refused.parts },
    }),
  };
}

function intentOf(
  { id, credential: { name, version } }: TokenCall,
  { issuer, subject, level }: VerifiedCaller,
  grant: Grant,
  { names }: Narrowed,
): Intent {
  return {
    ...{ id, action: "token", by: { issuer, subject, level }, credential: name, version },
    host: new URL(tokenEndpoint(grant)).host,
    ...(names.length > 0 && { scopes: names }),
  };
}

async function sealingKey({ sealTo }: TokenCall): Promise<Uint8Array | undefined> {
  if (sealTo === undefined) return undefined;
  const key = new Uint8Array(Buffer.from(sealTo, "base64url"));
  if (await isPublicKey(key)) return key;
  throw new UseFailure("malformed", "the key for the token is not a P-256 point", { part: "sealTo" });
}

async function answered(
  call: TokenCall,
  { bytes, type, names: scopes, expiresAt: at }: HeldToken,
  sealTo: Uint8Array | undefined,
): Promise<TokenAnswer> {
  const about = { type, scopes, expiresAt: new Date(at).toISOString() };
  if (call.for === "use") return { state: "held", ...about };
  const token = Buffer.from(bytes).toString();
  if (!sealTo) return { state: "issued", token, ...about };
  const plaintext = new TextEncoder().encode(JSON.stringify({ token, ...about }));
  try {
    const sealed = await sealResult(sealTo, { org: call.org, job: call.id }, plaintext);
    return { state: "sealed", sealed, ...about };
  } finally {
    plaintext.fill(0);
  }
}
