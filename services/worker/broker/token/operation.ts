import { type Grant, tokenEndpoint } from "../../../shared/broker/grant.ts";
import type { Narrowed } from "../../../shared/broker/narrow.ts";
import { isWho, type RuleCaller } from "../../../shared/broker/rules.ts";
import { type TokenAnswer, TokenCall } from "../../../shared/broker/tokens.ts";
import { canonicalJson } from "../../../shared/canonical-json.ts";
import { isPublicKey, sealResult } from "../../../shared/envelope/sealing.ts";
import { checkReceipt as compareReceipt } from "../check-receipt.ts";
import { type Operation, operation } from "../operations.ts";
import { UseFailure } from "../use-failure.ts";
import type { HeldToken } from "./held-tokens.ts";
import { allowedOf, grantOf, type Tokens } from "./tokens.ts";

/** The operation `token`. */
export const tokenOperation = (tokens: Tokens): Operation =>
  operation("token", TokenCall, async (call, { caller, sends }) => {
    const { id, credential, receipt } = call;
    const { issuer, subject, level } = caller;
    const { host, ...said } = receipt.entry.type === "intent" ? receipt.entry : { host: "" };
    compareReceipt(receipt, {
      ...{ id, action: "token", by: { issuer, subject, level } },
      ...{ credential: credential.name, version: credential.version, host },
      // Compared with what is asked, below.
      ...("scopes" in said && said.scopes && { scopes: said.scopes }),
    });
    if (call.mayExchange) sends();
    return await answerToken(tokens, call, caller);
  });

/**
 * What the operation `token` answers, for a caller whom the broker has verified and a receipt that it has compared with the call. Throws
 * what {@link Tokens.obtain} throws, `not_allowed` if the token is not for this caller, and `receipt_mismatch`.
 */
export async function answerToken(tokens: Tokens, call: TokenCall, caller: RuleCaller): Promise<TokenAnswer> {
  const { org, credential, asked, mayExchange } = call;
  const grant = grantOf(credential.policy);
  // For uses, a caller for whom there is a rule may have it obtained, and does not get it.
  const who = call.for === "caller" ? [grant.who] : credential.policy.rules.map((rule) => rule.who);
  if (!who.some((each) => isWho(each, caller))) {
    throw new UseFailure("not_allowed", "the credential's policy has no token for this caller", {
      part: "who",
    });
  }
  checkReceipt(call, grant, allowedOf(grant, asked));
  const sealTo = await sealingKey(call);
  const obtained = await tokens.obtain({ org, credential, asked, mayExchange });
  if ("token" in obtained) return await answered(call, obtained.token, sealTo);
  const { refused, ...replaced } = obtained.replaced;
  return {
    ...{ state: "replaced", ...replaced },
    ...(refused && {
      refused: { failure: refused.failure, detail: refused.message, isSent: true, ...refused.parts },
    }),
  };
}

/** What only a receipt for a token has. */
function checkReceipt({ receipt: { entry } }: TokenCall, grant: Grant, { names }: Narrowed): void {
  const isOfThis =
    entry.type === "intent" &&
    entry.action === "token" &&
    entry.host === new URL(tokenEndpoint(grant)).host &&
    canonicalJson(entry.scopes ?? []) === canonicalJson(names);
  if (!isOfThis) throw new UseFailure("receipt_mismatch", "the receipt does not describe the call");
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
