import { type Static, Type } from "typebox";
import { ConnectionUse, MOST_CALLBACK, ProviderChoice, Scopes } from "../broker/connections.ts";
import { PROVIDER_NAMES } from "../broker/providers.ts";
import { Name } from "../work/messages.ts";
import { Next } from "./pages.ts";
import { Time } from "./time.ts";

const closed = { additionalProperties: false };
const Redirect = Type.String({ minLength: 1, maxLength: 1024 });

const Client = Type.Object(
  {
    id: Type.String({ minLength: 1, maxLength: 500, pattern: "^[\\x21-\\x7e]+$" }),
    secretCredential: Type.Optional(
      Type.String({
        ...Name,
        description:
          "The credential of purpose `broker` that has the client's secret; its origin is that of the token endpoint",
      }),
    ),
  },
  { ...closed, description: "The organization's own registration at the provider" },
);

/** Body of `POST /v1/connections`. */
export const StartConnection = Type.Object(
  {
    name: Type.String({ ...Name, description: "Also the name of the credential that it makes" }),
    provider: ProviderChoice,
    scopes: Scopes,
    redirect: Type.String({
      ...Redirect,
      description: "Where the provider sends the browser: one of the organization's allowed redirects",
    }),
    client: Client,
    ...ConnectionUse.properties,
  },
  closed,
);
export type StartConnection = Static<typeof StartConnection>;

/** A connection that a member has begun and has to complete. */
export const StartedConnection = Type.Object(
  {
    name: Name,
    url: Type.String({ description: "Open it in the member's browser" }),
    expiresAt: Time,
  },
  closed,
);
export type StartedConnection = Static<typeof StartedConnection>;

/** Body of `POST /v1/connections/:name/complete`. */
export const CompleteConnection = Type.Object(
  {
    callback: Type.String({
      minLength: 1,
      maxLength: MOST_CALLBACK,
      description: "The whole URL to which the provider sent the browser",
    }),
  },
  closed,
);
export type CompleteConnection = Static<typeof CompleteConnection>;

/** What a provider delegates to an organization; never its tokens. */
export const Connection = Type.Object(
  {
    name: Name,
    provider: ProviderChoice,
    /**
     * `broken`: the provider no longer accepts it; connect again. `not_revoked`: it was deleted here while the provider
     * could not be told.
     */
    state: Type.Enum(["connected", "broken", "not_revoked"]),
    detail: Type.Optional(Type.String({ description: "Why it is broken, or was not revoked" })),
    /** What the provider granted, or less if that was reduced. */
    scopes: Type.Array(Type.String()),
    askedScopes: Type.Array(Type.String()),
    client: Client,
    origin: Type.String({ description: "Of the API that it is for" }),
    connectedBy: Type.Object({ issuer: Type.String(), subject: Type.String() }, closed),
    connectedAt: Time,
    /** When its refresh token was last replaced by the provider's next one. */
    refreshedAt: Type.Optional(Time),
  },
  closed,
);
export type Connection = Static<typeof Connection>;

export const ConnectionPage = Type.Object({ connections: Type.Array(Connection), next: Next }, closed);
export type ConnectionPage = Static<typeof ConnectionPage>;

/** Body of `PATCH /v1/connections/:name`. */
export const ReduceConnection = Type.Object(
  { scopes: Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { maxItems: 64 }) },
  closed,
);
export type ReduceConnection = Static<typeof ReduceConnection>;

export const DeleteConnectionQuery = Type.Object(
  {
    force: Type.Optional(
      Type.Enum(["true"], { description: "Delete it here also if the provider cannot be told" }),
    ),
  },
  closed,
);

/** What came of `DELETE /v1/connections/:name`. */
export const DeletedConnection = Type.Object(
  { name: Name, isRevoked: Type.Boolean(), detail: Type.Optional(Type.String()) },
  closed,
);
export type DeletedConnection = Static<typeof DeletedConnection>;

/** `GET` and `PUT /v1/connection-settings`. */
export const ConnectionSettings = Type.Object(
  {
    redirects: Type.Array(Redirect, {
      maxItems: 32,
      description:
        "Redirects that connections may have, exactly; `{connection}` as the last segment stands for the " +
        "connection's name, and http://127.0.0.1 without a port for any port",
    }),
  },
  closed,
);
export type ConnectionSettings = Static<typeof ConnectionSettings>;

/** `GET /v1/connection-providers`. */
export const ConnectionProviders = Type.Object(
  {
    providers: Type.Array(
      Type.Object(
        {
          name: Type.Enum([...PROVIDER_NAMES]),
          title: Type.String(),
          origin: Type.String({ description: "Of its API, unless another of its hosts is asked for" }),
          hosts: Type.Array(Type.String()),
          /** Where the client's secret is sent: the origin of the credential that has it. */
          secretOrigin: Type.String(),
          kind: Type.Enum(["refresh_token", "access_token", "either"]),
          canReduce: Type.Boolean(),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type ConnectionProviders = Static<typeof ConnectionProviders>;
