import type { IncomingMessage } from "node:http";
import { BlockList } from "node:net";
import { OAuth2Issuer } from "oauth2-mock-server";
import type { Logger } from "pino";
import { Type } from "typebox";
import { createServer, type Server } from "../shared/http/server.ts";
import { OPERATOR_AUDIENCE, TENANT_AUDIENCE } from "../shared/local-provider.ts";
import { OrgClaim } from "../shared/org.ts";
import type { SigningKey } from "./signing-key.ts";

export interface IdentityProviderOptions {
  logger: Logger;
  key: SigningKey;
  /** `iss` of the tokens, independent of this server's address. */
  issuer: string;
  orgClaim: string;
  groupsClaim: string;
  /** Another name of this machine, under which the public keys are served, and nothing else. */
  keysHost?: string | undefined;
}

/** Lifetime of its tokens. */
export const TOKEN_LIFETIME_SECONDS = 15 * 60;

const List = Type.String({ pattern: "^[a-z0-9:_-]+(,[a-z0-9:_-]+)*$", maxLength: 512 });

const TokenForm = Type.Object(
  {
    grant_type: Type.Literal("client_credentials"),
    audience: Type.Enum([TENANT_AUDIENCE, OPERATOR_AUDIENCE]),
    sub: Type.String({ pattern: "^[A-Za-z0-9_.@|:-]{1,128}$", default: "local-user" }),
    org_id: Type.Optional(OrgClaim),
    groups: Type.Optional(List),
    permissions: Type.Optional(List),
  },
  { additionalProperties: false },
);

const Token = Type.Object({
  access_token: Type.String(),
  token_type: Type.Literal("Bearer"),
  expires_in: Type.Integer(),
});

const OAuthError = Type.Object({ error: Type.String(), error_description: Type.String() });

const KEYS_PATH = "/jwks";
const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8);
loopback.addAddress("::1", "ipv6");

/** Whether a request's Host is this machine: loopback, the local address of its connection, or that other name. */
function namesThisMachine({ headers, socket }: IncomingMessage, other: string | undefined): boolean {
  const host = /^(?:\[([0-9a-f:]+)\]|([a-z0-9.-]+))(?::[0-9]{1,5})?$/i.exec(headers.host ?? "");
  const name = (host?.[1] ?? host?.[2] ?? "").toLowerCase();
  if (name === "localhost" || name === socket.localAddress || name === other) return true;
  return loopback.check(name, host?.[1] === undefined ? "ipv4" : "ipv6");
}

/**
 * The identity provider of a local platform: issues Auth0-style tokens to anyone who can reach it. Web pages in a
 * browser on the same machine can reach it too, so it refuses requests from a page (browsers add `Origin`), and
 * requests for another host: after DNS rebinding a page sends no `Origin` with its reads.
 */
export async function buildIdentityProvider(options: IdentityProviderOptions): Promise<Server> {
  const { logger, key, issuer: iss, orgClaim, groupsClaim } = options;
  const app = createServer(logger, { bodyLimit: 8 * 1024 });
  const issuer = new OAuth2Issuer();
  issuer.url = iss;
  await issuer.keys.add(key);

  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/x-www-form-urlencoded", { parseAs: "string" }, (_, body, done) => {
    const fields = [...new URLSearchParams(String(body))];
    const form = Object.fromEntries(fields);
    const repeated = Object.keys(form).length !== fields.length;
    done(repeated ? Object.assign(new Error("a field is repeated"), { statusCode: 400 }) : null, form);
  });
  app.addHook("onRequest", async (request, reply) => {
    const refuse = (error_description: string) =>
      reply.code(403).send({ error: "access_denied", error_description });
    if (request.headers.origin !== undefined) return refuse("Requests from web pages are refused.");
    const other = request.routeOptions.url === KEYS_PATH ? options.keysHost : undefined;
    if (!namesThisMachine(request.raw, other))
      return refuse("Use a loopback address, such as 127.0.0.1, as the host.");
  });
  app.setErrorHandler<Error & { statusCode?: number }>((error, request, reply) => {
    const status = error.statusCode ?? 500;
    if (status >= 500) request.log.error({ err: error }, "cannot issue a token");
    const description = status < 500 ? error.message : "Internal error; see the log.";
    const name = status < 500 ? "invalid_request" : "server_error";
    return reply.code(status).send({ error: name, error_description: description });
  });
  app.setNotFoundHandler((_, reply) =>
    reply.code(404).send({ error: "not_found", error_description: "There is no such path." }),
  );

  app.post(
    "/token",
    {
      config: { access: { open: "it issues tokens to anyone on this machine" } },
      schema: { body: TokenForm, response: { 200: Token, "4xx": OAuthError } },
    },
    async (request, reply) => {
      const { audience, sub, org_id, groups, permissions } = request.body;
      const token = await issuer.buildToken({
        expiresIn: TOKEN_LIFETIME_SECONDS,
        scopesOrTransform: (_, payload) => {
          Object.assign(payload, {
            aud: audience,
            sub,
            nbf: undefined, // Auth0's access tokens have none
            ...(org_id && { [orgClaim]: org_id }),
            ...(groups && { [groupsClaim]: groups.split(",") }),
            ...(permissions && { permissions: permissions.split(",") }),
          });
        },
      });
      request.log.info({ audience, sub, org_id, groups, permissions }, "token issued");
      reply.header("Cache-Control", "no-store");
      return { access_token: token, token_type: "Bearer" as const, expires_in: TOKEN_LIFETIME_SECONDS };
    },
  );

  app.get(KEYS_PATH, { config: { access: { open: "public keys" } } }, () => ({ keys: issuer.keys.toJSON() }));

  app.get("/health", { config: { access: { open: "it only says that the service is alive" } } }, () => ({
    status: "ok",
  }));

  return app;
}
