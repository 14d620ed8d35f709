import { type Grant, tokenEndpoint } from "../../shared/broker/grant.ts";
import { type Narrowed, narrow } from "../../shared/broker/narrow.ts";
import { isWho } from "../../shared/broker/rules.ts";
import type { TokenCall } from "../../shared/broker/tokens.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { Material } from "../../shared/work/messages.ts";
import { brokerCredential } from "../credentials/load.ts";
import type { BrokerRecord } from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { ruleCaller, type UseMember } from "../http/caller.ts";
import { readGrantState } from "./grant-state.ts";

/** What is wanted of a credential. */
export interface TokenWish extends Pick<TokenCall, "asked" | "for" | "sealTo"> {
  credential: string;
}

/** A credential from which a caller may have a token. */
export interface Granted {
  record: BrokerRecord;
  material: Material;
  grant: Grant;
  /** What the caller gets of what they ask. */
  narrowed: Narrowed;
  /** The provider's host. */
  host: string;
}

/**
 * The credential, if the caller may have the token that they want; the broker checks the same. Throws `not_found`,
 * `conflict` for a credential of jobs, `credential_disabled`, `grant_lost`, and `use_not_allowed` with the part that is not allowed.
 */
export async function grantedCredential(
  { store }: Pick<Intake, "store">,
  member: UseMember,
  wish: TokenWish,
): Promise<Granted> {
  const { org } = member;
  const { record, material } = await brokerCredential(store, org, wish.credential);
  const { grant } = record.destination;
  if (!grant) {
    throw denied("grant", "The credential's policy has no `grant`: no token can be made from it.");
  }
  if (record.disabled) {
    throw new StrongroomError("credential_disabled", "The credential is disabled. Enable it to use it.");
  }
  if (wish.for === "caller" && !isWho(grant.who, ruleCaller(member))) {
    throw denied("who", "The credential's policy does not allow a token for this caller.");
  }
  const narrowed = narrow(grant, wish.asked);
  if ("denied" in narrowed) {
    throw denied(narrowed.denied, `The token is not allowed: \`${narrowed.denied}\` ${narrowed.why}.`);
  }
  const { broken } = (await readGrantState(store, org, record)) ?? {};
  if (broken) throw grantLost(broken.at);
  return { record, material, grant, narrowed, host: new URL(tokenEndpoint(grant)).host };
}

export const grantLost = (at: string): StrongroomError =>
  new StrongroomError(
    "grant_lost",
    `The provider has not accepted the credential's refresh token since ${at}. Connect it again, or put a new value.`,
  );

const denied = (part: string, message: string): StrongroomError =>
  new StrongroomError("use_not_allowed", message, {
    errors: [{ pointer: `/body/${part}`, message: "is not allowed" }],
  });
