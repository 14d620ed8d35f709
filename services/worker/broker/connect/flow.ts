import { timingSafeEqual } from "node:crypto";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { ConnectionUse, FLOW_SECONDS, Scopes } from "../../../shared/broker/connections.ts";
import type { EncryptionContext } from "../../../shared/envelope/context.ts";
import { EnvelopeRefused, open, seal } from "../../../shared/envelope/envelope.ts";
import type { KeyProvider } from "../../../shared/envelope/key-provider.ts";
import { fromBase64 } from "../../open-credential.ts";
import { UseFailure } from "../use-failure.ts";
import { KnownProvider } from "./provider.ts";

const Random = Type.String({ minLength: 43, maxLength: 128 });

/** What a flow needs between its two halves. Nobody reads it but the broker. */
const Flow = Type.Object(
  {
    state: Random,
    /** For the ID token, if one is asked for. */
    nonce: Type.Optional(Random),
    /** Of PKCE; absent for a provider without it. */
    verifier: Type.Optional(Random),
    provider: KnownProvider,
    scopes: Scopes,
    redirect: Type.String({ maxLength: 1024 }),
    clientId: Type.String({ maxLength: 500 }),
    hasSecret: Type.Boolean(),
    use: ConnectionUse,
    /** Seconds since 1970. */
    expiresAt: Type.Integer(),
  },
  { additionalProperties: false },
);
export type Flow = Static<typeof Flow>;

/** Whose flow it is. It opens for exactly this organization, connection, member and call. */
export interface FlowOf {
  org: string;
  connection: string;
  /** The digest of the member's issuer and subject, of the token that the broker itself has verified. */
  member: string;
  /** The id of the call that began it. */
  id: string;
}

const contextOf = ({ org, connection, member, id }: FlowOf): EncryptionContext => ({
  ...{ org, credential: `@connection/${connection}`, version: id, purpose: "broker" },
  policy: `member/${member}`,
});

export const expiry = (now: number): number => Math.floor(now / 1000) + FLOW_SECONDS;

/** Seals a flow: base64. Throws KeyProviderError. */
export async function sealFlow(keys: KeyProvider, of: FlowOf, flow: Flow): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(flow));
  try {
    return Buffer.from(await seal(keys, contextOf(of), bytes)).toString("base64");
  } finally {
    bytes.fill(0);
  }
}

/** Opens a flow that has not expired. Throws UseFailure `callback_refused`, KeyProviderError. `now` is in milliseconds. */
export async function openFlow(keys: KeyProvider, of: FlowOf, envelope: string, now: number): Promise<Flow> {
  const bytes = await open(keys, contextOf(of), fromBase64(envelope)).catch((error: unknown) => {
    if (!(error instanceof EnvelopeRefused)) throw error;
    throw new UseFailure("callback_refused", "The flow is not this member's.", { part: "flow" });
  });
  try {
    const flow: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (!Value.Check(Flow, flow)) throw new UseFailure("malformed", "The flow is not one.");
    if (now / 1000 < flow.expiresAt) return flow;
    throw new UseFailure("callback_refused", "The flow has expired. Begin again.", { part: "flow" });
  } finally {
    bytes.fill(0);
  }
}

/**
 * The parameters of an authorization response. Throws UseFailure `callback_refused` unless it came to exactly the flow's
 * redirect, with its state, and with no parameter twice.
 */
export function callbackParameters(
  { redirect, state }: Pick<Flow, "redirect" | "state">,
  callback: string,
): URLSearchParams {
  const question = callback.indexOf("?");
  if (question < 0 || callback.slice(0, question) !== redirect) {
    throw refused("redirect", "It did not come to the redirect that was asked for.");
  }
  const query = callback.slice(question + 1);
  if (query.includes("#")) throw refused("redirect", "It has a fragment.");
  const parameters = new URLSearchParams(query);
  const names = [...parameters.keys()];
  if (new Set(names).size < names.length) throw refused("parameters", "A parameter is there twice.");
  if (!isSame(parameters.get("state") ?? "", state)) {
    throw refused("state", "Its state is not that of this flow.");
  }
  return parameters;
}

const refused = (part: string, detail: string) =>
  new UseFailure("callback_refused", `The authorization response is not accepted. ${detail}`, { part });

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
