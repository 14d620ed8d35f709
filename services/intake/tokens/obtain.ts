import { randomUUID } from "node:crypto";
import type { CallFailed } from "../../shared/broker/calls.ts";
import type { TokenAnswer, TokenCall } from "../../shared/broker/tokens.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { Completion } from "../../shared/receipts/receipt.ts";
import { CallRefused, failedCompletion } from "../broker/failures.ts";
import type { Intake } from "../dependencies.ts";
import { receiptBy, type UseMember } from "../http/caller.ts";
import type { Receipts } from "../receipts/receipts.ts";
import { type Granted, grantedCredential, grantLost, type TokenWish } from "./granted.ts";
import { withGrantLease } from "./lease.ts";
import { markBroken, putVersion, saveReplacement } from "./save.ts";

/** What obtaining a token needs. */
export interface TokenParts {
  intake: Pick<Intake, "store" | "now" | "log">;
  receipts: Receipts;
  /** Asks the broker. Throws `broker_unavailable` if it does not answer. */
  askToken(call: TokenCall): Promise<TokenAnswer | { failed: CallFailed }>;
}

export type Token = Exclude<TokenAnswer, { state: "replaced" }> & {
  /** The receipt's id. */
  receipt: string;
};

/** A credential may change while its token is being obtained; more often than this it does not. */
const MOST_TRIES = 4;

/** A token for a caller. Throws what {@link grantedCredential} throws, and the failures of the broker and the provider. */
export async function issueToken(
  parts: TokenParts,
  member: UseMember,
  wish: Omit<TokenWish, "for">,
): Promise<Token> {
  return await obtain(parts, member, { ...wish, for: "caller" });
}

/**
 * Has the broker obtain the token that it needs for uses of a credential, after it has said `token_needed`. Load the
 * credential anew before it is used: it may have a new version. Throws as {@link issueToken}.
 */
export async function obtainToken(parts: TokenParts, member: UseMember, credential: string): Promise<void> {
  await obtain(parts, member, { credential, asked: {}, for: "use" });
}

async function obtain(parts: TokenParts, member: UseMember, wish: TokenWish): Promise<Token> {
  const granted = await grantedCredential(parts.intake, member, wish);
  if (granted.grant.type !== "refresh_token") {
    return tokenOf(await ask(parts, member, wish, granted, true));
  }
  if (wish.for === "caller") {
    const asked = await ask(parts, member, wish, granted, false);
    const isMissing = "failed" in asked.answer && asked.answer.failed.failure === "token_needed";
    if (!isMissing && !isReplaced(asked.answer)) return tokenOf(asked);
  }
  return await withGrantLease(parts.intake, member.org, wish.credential, () => refresh(parts, member, wish));
}

/**
 * Load, exchange and save, by whoever holds the lease. The broker does not return a token that came with a new refresh
 * token before it is asked for the version that holds that one.
 */
async function refresh(parts: TokenParts, member: UseMember, wish: TokenWish): Promise<Token> {
  const { intake } = parts;
  const { org } = member;
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const granted = await grantedCredential(intake, member, wish);
    const asked = await ask(parts, member, wish, granted, true);
    const { answer } = asked;
    if ("failed" in answer && answer.failed.part === "invalid_grant") {
      throw grantLost(await markBroken(intake, org, granted.record));
    }
    if (!isReplaced(answer)) return tokenOf(asked);
    await saveReplacement(intake, org, granted.record, answer);
    if (answer.refused) throw new CallRefused(answer.refused, asked.receipt);
  }
  throw new StrongroomError("conflict", "The credential is being changed at the same time. Try again.");
}

interface Asked {
  receipt: string;
  answer: TokenAnswer | { failed: CallFailed };
}

const isReplaced = (answer: Asked["answer"]): answer is Extract<TokenAnswer, { state: "replaced" }> =>
  "state" in answer && answer.state === "replaced";

function tokenOf({ answer, receipt }: Asked): Token {
  if ("failed" in answer) throw new CallRefused(answer.failed, receipt);
  if (answer.state !== "replaced") return { ...answer, receipt };
  throw new Error("the broker replaced what its provider does not replace");
}

/** Asks the broker once, with a receipt: durable before, completed after. */
async function ask(
  { receipts, askToken }: TokenParts,
  member: UseMember,
  wish: TokenWish,
  { record, material, narrowed, host }: Granted,
  mayExchange: boolean,
): Promise<Asked> {
  const { org, identity } = member;
  const { name, version, destination: policy } = record;
  const id = randomUUID();
  const receipt = await receipts.begin(org, {
    ...{ id, action: "token", by: receiptBy(member), credential: name, version, host },
    ...(narrowed.names.length > 0 && { scopes: narrowed.names }),
  });
  const began = performance.now();
  const complete = async (completion: (ms: number) => Completion) =>
    await receipts.complete(org, receipt, completion(Math.round(performance.now() - began)));
  try {
    const answer = await askToken({
      ...{ id, token: identity.token.reveal(), org, mayExchange, receipt, asked: wish.asked, for: wish.for },
      credential: { name, version, since: putVersion(record), policy, material },
      ...(wish.sealTo !== undefined && { sealTo: wish.sealTo }),
    });
    await complete((ms) => ("failed" in answer ? failedCompletion(answer.failed, ms) : ANSWERED(ms)));
    return { receipt: id, answer };
  } catch (error) {
    await complete((ms) => ({ ...ANSWERED(ms), outcome: "unknown", failure: "broker_unavailable" }));
    throw error;
  }
}

const ANSWERED = (ms: number): Completion => ({
  ...{ outcome: "answered", sentBytes: 0, receivedBytes: 0, ms, scrubbed: 0 },
});
