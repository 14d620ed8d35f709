import { Provider } from "oidc-provider";
import { type Handler, startTlsServer, type TokenEndpoint } from "./token-endpoint.ts";

export const CLIENT = { id: "strongroom-client", secret: "client-secret-5f0b2c94c1" };
const SCOPES = ["read", "write", "admin", "offline_access"];

/** `oidc-provider`, with refresh tokens that are replaced at each use, and a grant that is revoked at a reuse. */
export interface OAuthProvider extends TokenEndpoint {
  provider: Provider;
  /** A refresh token of a new grant for these scopes. */
  newRefreshToken(scopes: string[]): Promise<string>;
  /** How many refresh tokens it has issued in exchange for others. */
  refreshed: number;
  /** How often its token endpoint was asked. */
  asked: number;
}

export async function startOAuthProvider(
  name = "login.example.test",
  lifeSeconds = 3600,
): Promise<OAuthProvider> {
  let handler: Handler = (_, response) => void response.writeHead(503).end();
  const server = await startTlsServer(name, () => handler);
  const provider = new Provider(server.origin, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ["client_credentials", "refresh_token", "authorization_code"],
        redirect_uris: ["https://app.example.test/callback"],
        scope: SCOPES.join(" "),
      },
    ],
    scopes: SCOPES,
    features: {
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
      devInteractions: { enabled: false },
    },
    rotateRefreshToken: true,
    ttl: { AccessToken: lifeSeconds, ClientCredentials: lifeSeconds, Grant: 86_400, RefreshToken: 86_400 },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    cookies: { keys: ["for-tests-alone"] },
  });
  const self: OAuthProvider = {
    ...{ ...server, provider, refreshed: 0, asked: 0 },
    async newRefreshToken(scopes) {
      const client = await provider.Client.find(CLIENT.id);
      if (!client) throw new Error("the provider has lost its client");
      const scope = scopes.join(" ");
      const grant = new provider.Grant({ accountId: "member", clientId: CLIENT.id });
      grant.addOIDCScope(scope);
      const token = new provider.RefreshToken({
        ...{ accountId: "member", client, grantId: await grant.save(), gty: "authorization_code", scope },
        ...{ authTime: 1, rotations: 0, sessionUid: "session", expiresWithSession: false },
      } as ConstructorParameters<typeof provider.RefreshToken>[0]);
      return await token.save();
    },
  };
  provider.on("grant.success", ({ oidc }) => {
    if (oidc.params?.grant_type === "refresh_token") self.refreshed++;
  });
  const callback = provider.callback();
  handler = (request, response) => {
    if (request.url === "/token") self.asked++;
    void callback(request, response);
  };
  return self;
}
