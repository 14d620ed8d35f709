import { once } from "node:events";
import { createServer, request } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import Provider, { type Configuration } from "oidc-provider";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";

/** A certified OpenID provider on loopback, over TLS, with its own forms of login and consent. */
export interface OidcProvider {
  /** `https://NAME:PORT`; the name resolves nowhere. */
  issuer: string;
  exception: PrivateDestination;
  provider: Provider;
  /** Paths of the requests that it got, in order. */
  seen: string[];
  /**
   * Does what a member does in a browser: opens the authorization URL, logs in, consents, and returns the URL to which the
   * provider sends them at the end.
   */
  authorize(url: string, login?: string): Promise<string>;
  /** A request of {@link CLIENT} past the platform, as a thief could make it. */
  post(path: string, form: Record<string, string>): Promise<{ status: number; html: string }>;
  /** Refuses connections. */
  down(): Promise<void>;
  close(): Promise<void>;
}

export const CLIENT = { id: "strongroom-acme", secret: "client-secret-canary-0123456789abcdef" };
const MOST_STEPS = 20;

/** The client {@link CLIENT} may have these redirects, at any port of 127.0.0.1. Refresh tokens rotate. */
export async function startOidcProvider(
  redirects: string[],
  changes: Configuration = {},
): Promise<OidcProvider> {
  const name = "op.example";
  const { certificate, key } = selfSignedCertificate(name, 2);
  const sockets = new Set<Socket>();
  const seen: string[] = [];
  const server = createServer({ cert: certificate, key: key.reveal() });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `https://${name}:${(server.address() as AddressInfo).port}`;
  const client = {
    ...{ client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: redirects },
    grant_types: ["authorization_code", "refresh_token"],
    application_type: "native" as const,
  };
  const provider = new Provider(issuer, {
    clients: [
      { ...client, token_endpoint_auth_method: "client_secret_basic" },
      {
        ...{ ...client, client_id: "strongroom-public", token_endpoint_auth_method: "none" },
        client_secret: undefined as never,
      },
    ],
    scopes: ["openid", "offline_access", "calendar.read", "calendar.write"],
    features: {
      revocation: {
        enabled: true,
        allowedPolicy: async (_, client, token) => token.clientId === client.clientId,
      },
      devInteractions: { enabled: true },
    },
    findAccount: async (_, sub) => ({ accountId: sub, claims: async () => ({ sub }) }),
    rotateRefreshToken: true,
    ttl: { AccessToken: 600, IdToken: 600, Grant: 3600, Session: 3600, Interaction: 600, RefreshToken: 3600 },
    ...changes,
  });
  const handle = provider.callback();
  server.on("request", (incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url?.split("?")[0]}`);
    void handle(incoming, response);
  });
  const down = async () => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  return {
    ...{ issuer, provider, seen, down, close: down },
    exception: { origin: issuer, address: "127.0.0.1", ca: certificate },
    post: (path, form) =>
      visit(
        new URL(issuer),
        certificate,
        new Map(),
        "POST",
        `${issuer}${path}`,
        String(new URLSearchParams(form)),
        {
          Authorization: `Basic ${Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString("base64")}`,
        },
      ),
    authorize: (url, login = "ada") => browse(new URL(issuer), certificate, url, login),
  };
}

interface Page {
  status: number;
  location: string | undefined;
  html: string;
}

async function browse(issuer: URL, ca: string, start: string, login: string): Promise<string> {
  const cookies = new Map<string, string>();
  let page = await visit(issuer, ca, cookies, "GET", start);
  let at = start;
  for (let steps = 0; steps < MOST_STEPS; steps++) {
    if (page.location !== undefined) {
      at = new URL(page.location, at).href;
      if (new URL(at).origin !== issuer.origin) return at;
      page = await visit(issuer, ca, cookies, "GET", at);
      continue;
    }
    const [, action] = /<form[^>]* action="([^"]+)"/.exec(page.html) ?? [];
    const [, prompt] = /name="prompt" value="([^"]+)"/.exec(page.html) ?? [];
    if (!action || !prompt)
      throw new Error(`the provider answered ${page.status}: ${page.html.slice(0, 2000)}`);
    at = new URL(action.replaceAll("&amp;", "&"), at).href;
    const form = new URLSearchParams({ prompt, ...(prompt === "login" && { login, password: "any" }) });
    page = await visit(issuer, ca, cookies, "POST", at, String(form));
  }
  throw new Error("the provider does not come to an end");
}

function visit(
  issuer: URL,
  ca: string,
  cookies: Map<string, string>,
  method: string,
  url: string,
  body?: string,
  more: Record<string, string> = {},
): Promise<Page> {
  const { pathname, search, hostname, host, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<Page>();
  const outgoing = request(
    {
      ...{ host: "127.0.0.1", port: port || issuer.port, servername: hostname, ca, method, agent: false },
      path: `${pathname}${search}`,
      headers: {
        Host: host,
        Accept: "text/html",
        Cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; "),
        ...more,
        ...(body !== undefined && {
          "Content-Type": "application/x-www-form-urlencoded",
          "Content-Length": Buffer.byteLength(body),
        }),
      },
    },
    async (response) => {
      for (const each of response.headers["set-cookie"] ?? []) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(each) ?? [];
        if (value === "") cookies.delete(name);
        else cookies.set(name, value);
      }
      const chunks: Buffer[] = await response.toArray();
      const { statusCode: status = 0, headers } = response;
      resolve({ status, location: headers.location, html: Buffer.concat(chunks).toString("utf8") });
    },
  );
  outgoing.on("error", reject).end(body);
  return promise;
}
