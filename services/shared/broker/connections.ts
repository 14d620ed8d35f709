import { type Static, Type } from "typebox";
import { Receipt } from "../receipts/receipt.ts";
import { Base64, Name } from "../work/messages.ts";
import { ForCaller, SealedCredential } from "./calls.ts";
import { BrokerPolicy } from "./policy.ts";
import { PROVIDER_NAMES } from "./providers.ts";
import { Rule, Who } from "./rules.ts";

const closed = { additionalProperties: false };
const Url = Type.String({
  maxLength: 1024,
  pattern: "^https://[^/?#@]+/[^?#]*$",
  description: "https URL",
});
const Issuer = Type.String({
  maxLength: 1024,
  pattern: "^https://[^/?#@]+(/[^?#]*)?$",
  description: "https URL, as the provider writes it: often without a final slash",
});
const Text = Type.String({ minLength: 1, maxLength: 500, pattern: "^[\\x21-\\x7e]+$" });

/** A flow must be completed within this time. */
export const FLOW_SECONDS = 600;
/** The longest authorization response, in characters. */
export const MOST_CALLBACK = 8_192;

/** Who delegates: a provider of the registry by name, one with OpenID Connect Discovery, or one by its endpoints. */
export const ProviderChoice = Type.Union([
  Type.Enum([...PROVIDER_NAMES]),
  /** The issuer, where its discovery document is. */
  Type.Object({ issuer: Issuer }, closed),
  Type.Object(
    {
      authorization: Url,
      token: Url,
      revocation: Type.Optional(Url),
      issuer: Type.Optional({ ...Issuer, description: "If it sends `iss` (RFC 9207)" }),
      clientAuth: Type.Optional(Type.Enum(["basic", "post"], { description: "`basic` unless given" })),
    },
    closed,
  ),
]);
export type ProviderChoice = Static<typeof ProviderChoice>;

export const Scopes = Type.Array(
  Type.String({ pattern: "^[\\x21\\x23-\\x2b\\x2d-\\x5b\\x5d-\\x7e]{1,200}$" }),
  {
    maxItems: 64,
    description: "The scopes that are asked for",
  },
);

/** What the credential that a connection makes may be used for. */
export const ConnectionUse = Type.Object(
  {
    origin: Type.Optional(
      Type.String({ maxLength: 300, description: "Of the API; the provider's unless given" }),
    ),
    rules: Type.Array(Rule, { maxItems: 64 }),
    concurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: 256 })),
    who: Type.Optional({ ...Who, description: "Who may have an access token; admins unless given" }),
  },
  closed,
);
export type ConnectionUse = Static<typeof ConnectionUse>;

/**
 * Whether a credential was stored as the secret of this client: its policy sends it as the client's password. Without this, an
 * admin could have any key sent in another way, and to another path of its origin, than it was sealed for.
 */
export const isSecretOf = (clientId: string, { inject }: Pick<BrokerPolicy, "inject">): boolean =>
  "basic" in inject && inject.basic.user === clientId;

/** `POST /connection-begin`: nothing is sent to the provider but a request for its public documents. */
export const ConnectionBegin = Type.Object(
  {
    ...ForCaller,
    connection: Name,
    provider: ProviderChoice,
    scopes: Scopes,
    redirect: Type.String({ maxLength: 1024 }),
    clientId: Text,
    /** Whether the client has a secret, which `connection-complete` then brings. */
    hasSecret: Type.Boolean(),
    use: ConnectionUse,
  },
  closed,
);
export type ConnectionBegin = Static<typeof ConnectionBegin>;

export const ConnectionBegun = Type.Object(
  {
    /** Where the member's browser goes. */
    url: Type.String(),
    /** The envelope with state, nonce and verifier: only the broker opens it, and only for the same member. */
    flow: Base64,
    /** Of the token endpoint: `host` of the receipt. */
    host: Type.String(),
  },
  closed,
);
export type ConnectionBegun = Static<typeof ConnectionBegun>;

/** `POST /connection-complete`: exchanges the code and seals what the provider granted. */
export const ConnectionComplete = Type.Object(
  {
    ...ForCaller,
    receipt: Receipt,
    connection: Name,
    /** The version of the credential that is made. */
    version: Type.Integer({ minimum: 1 }),
    /** `id` is that of the call that began it. */
    flow: Type.Object({ id: ForCaller.id, envelope: Base64 }, closed),
    /** The URL to which the provider sent the browser, whole. */
    callback: Type.String({ maxLength: MOST_CALLBACK }),
    secret: Type.Optional(SealedCredential),
  },
  closed,
);
export type ConnectionComplete = Static<typeof ConnectionComplete>;

export const ConnectionMade = Type.Object(
  { policy: BrokerPolicy, envelope: Base64, scopes: Type.Array(Type.String()) },
  closed,
);
export type ConnectionMade = Static<typeof ConnectionMade>;

/** `POST /connection-revoke`: tells the provider that the grant has ended. */
export const ConnectionRevoke = Type.Object(
  {
    ...ForCaller,
    receipt: Receipt,
    credential: SealedCredential,
    provider: ProviderChoice,
    clientId: Text,
    secret: Type.Optional(SealedCredential),
  },
  closed,
);
export type ConnectionRevoke = Static<typeof ConnectionRevoke>;

/** `unsupported`: the provider has no way to revoke what was granted. */
export const ConnectionRevoked = Type.Object({ outcome: Type.Enum(["revoked", "unsupported"]) }, closed);
export type ConnectionRevoked = Static<typeof ConnectionRevoked>;
