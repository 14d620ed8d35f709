/** What is known of a provider that delegates by OAuth: where its endpoints are, and how it differs from the standards. */
export interface Provider {
  title: string;
  /** Its identifier in `iss` and in ID tokens; undefined if it has none. */
  issuer?: string;
  /** Sends `iss` with the authorization response (RFC 9207), so a response without it is refused. */
  sendsIssuer: boolean;
  authorization: string;
  token: string;
  /** The keys of its ID tokens. */
  jwks?: string;
  /** How a grant is revoked; undefined if it has no way. */
  revocation?: { type: "rfc7009"; endpoint: string } | { type: "github" | "slack"; endpoint: string };
  /** How a client with a secret authenticates. */
  clientAuth: "basic" | "post";
  /** Slack takes a code challenge only from clients without a secret. */
  pkce: "always" | "public_clients";
  /** Between scopes in its answers; asked for are they with spaces. */
  scopeSeparator: "," | " ";
  /** Scopes that it names otherwise in its answers. */
  scopeNames?: Readonly<Record<string, string>>;
  /** Further members of the authorization request. */
  parameters?: Readonly<Record<string, string>>;
  /**
   * What it grants: a refresh token; or an access token that does not expire, which is stored as a credential that is
   * sent in a header.
   */
  kind: "refresh_token" | "access_token" | "either";
  /** A refresh may ask for fewer scopes, so a connection's can be reduced. */
  narrows: boolean;
  /** Types of tokens that it issues beside `bearer`, and that are sent as such. */
  tokenTypes?: readonly string[];
  /** The origin of its API unless another is asked for, and the hosts that an origin may have: `*.` is any name below. */
  api: { origin: string; hosts: readonly string[] };
}

/** The providers that are known by name. */
const PROVIDERS = {
  github: {
    title: "GitHub",
    sendsIssuer: false,
    authorization: "https://github.com/login/oauth/authorize",
    token: "https://github.com/login/oauth/access_token",
    revocation: { type: "github", endpoint: "https://api.github.com/applications/{client}/token" },
    clientAuth: "post",
    pkce: "always",
    scopeSeparator: ",",
    // OAuth apps have tokens that do not expire; GitHub Apps refresh tokens, unless they opt out.
    kind: "either",
    narrows: false,
    api: { origin: "https://api.github.com", hosts: ["api.github.com", "uploads.github.com"] },
  },
  google: {
    title: "Google",
    issuer: "https://accounts.google.com",
    sendsIssuer: true,
    authorization: "https://accounts.google.com/o/oauth2/v2/auth",
    token: "https://oauth2.googleapis.com/token",
    jwks: "https://www.googleapis.com/oauth2/v3/certs",
    revocation: { type: "rfc7009", endpoint: "https://oauth2.googleapis.com/revoke" },
    clientAuth: "post",
    pkce: "always",
    scopeSeparator: " ",
    scopeNames: {
      email: "https://www.googleapis.com/auth/userinfo.email",
      profile: "https://www.googleapis.com/auth/userinfo.profile",
    },
    // Without both there is no refresh token the second time.
    parameters: { access_type: "offline", prompt: "consent" },
    kind: "refresh_token",
    narrows: true,
    api: { origin: "https://www.googleapis.com", hosts: ["*.googleapis.com"] },
  },
  slack: {
    title: "Slack",
    sendsIssuer: false,
    authorization: "https://slack.com/oauth/v2/authorize",
    token: "https://slack.com/api/oauth.v2.access",
    revocation: { type: "slack", endpoint: "https://slack.com/api/auth.revoke" },
    clientAuth: "basic",
    pkce: "public_clients",
    scopeSeparator: ",",
    // Its rotated tokens expire, and it refreshes them in a form of its own.
    kind: "access_token",
    narrows: false,
    tokenTypes: ["bot", "user"],
    api: { origin: "https://slack.com", hosts: ["slack.com"] },
  },
} as const satisfies Record<string, Provider>;

export type ProviderName = keyof typeof PROVIDERS;
export const PROVIDER_NAMES = Object.keys(PROVIDERS) as ProviderName[];

/** A provider by its name. */
export const providerOf = (name: ProviderName): Provider => PROVIDERS[name];

/** Whether a provider's API is at an origin. */
export function servesApi({ api }: Pick<Provider, "api">, origin: string): boolean {
  const [, host = ""] = /^https:\/\/([a-z0-9.-]+)$/.exec(origin) ?? [];
  return api.hosts.some((each) => (each.startsWith("*.") ? host.endsWith(each.slice(1)) : host === each));
}

/** The provider that delegates access to the API at an origin, instead of a key for it; undefined if none does. */
export const delegatorOf = (origin: string): ProviderName | undefined =>
  PROVIDER_NAMES.find((name) => servesApi(PROVIDERS[name], origin));
