import type { Logger } from "pino";
import { Type } from "typebox";
import { createServer, type Server, type TlsIdentity } from "../shared/http/server.ts";
import { fingerprint, Keys } from "./keys.ts";

const ANYONE = { access: { open: "it stands in for a service elsewhere, and holds nothing" } };
const Account = Type.Object({ account: Type.String(), key: Type.String() });
const NewKey = Type.Object({ id: Type.String(), key: Type.String() });
const Refusal = Type.Object({ error: Type.String() });
const Charge = Type.Object({ id: Type.String(), account: Type.String(), amount: Type.Integer() });
const CHARGES_AT_MOST = 1_000;

/** The provider, not listening yet. */
export function buildDemoProvider(logger: Logger, tls: TlsIdentity): Server {
  const app = createServer(logger, { tls });
  const keys = new Keys();
  const charges = new Map<string, { id: string; account: string; amount: number }>();

  app.addHook("onResponse", async (request, reply) => {
    const key = request.headers["idempotency-key"] ?? request.headers["webhook-id"];
    request.log.info({
      method: request.method,
      path: request.routeOptions.url,
      status: reply.statusCode,
      key,
    });
  });

  /** Says who it takes the caller for, by which key. */
  app.get(
    "/v1/me",
    { config: ANYONE, schema: { response: { 200: Account, 401: Refusal } } },
    (request, reply) => {
      const holder = keys.holder(request.headers.authorization);
      if (holder) return holder;
      reply.code(401);
      return { error: "No key, or a revoked one." };
    },
  );

  /** A key with every right: it makes other keys of its account, and revokes them. */
  app.post(
    "/v1/keys",
    { config: ANYONE, schema: { response: { 201: NewKey, 401: Refusal, 429: Refusal } } },
    (request, reply) => {
      const holder = keys.holder(request.headers.authorization);
      const made = holder && keys.create(holder.account);
      reply.code(made ? 201 : holder ? 429 : 401);
      return made ?? { error: holder ? "Too many keys." : "No key, or a revoked one." };
    },
  );
  app.delete(
    "/v1/keys/:id",
    {
      config: ANYONE,
      schema: {
        params: Type.Object({ id: Type.String({ pattern: "^[a-z0-9]{1,64}$" }) }),
        response: { 204: Type.Null(), 401: Refusal },
      },
    },
    (request, reply) => {
      if (!keys.holder(request.headers.authorization)) {
        reply.code(401);
        return { error: "No key, or a revoked one." };
      }
      keys.revoke(request.params.id);
      reply.code(204);
      return null;
    },
  );

  /** Charges once for each idempotency key, as a provider should. */
  app.post(
    "/v1/charges",
    {
      config: ANYONE,
      schema: {
        body: Type.Object({ amount: Type.Integer({ minimum: 1 }) }),
        response: { 200: Charge, 400: Refusal, 401: Refusal },
      },
    },
    (request, reply) => {
      const account = keys.holder(request.headers.authorization)?.account;
      const key = request.headers["idempotency-key"];
      if (!account || typeof key !== "string") {
        reply.code(account ? 400 : 401);
        return { error: account ? "No Idempotency-Key." : "No key." };
      }
      const id = `${account}/${key}`;
      const made = charges.get(id) ?? { id: `ch_${fingerprint(id)}`, account, amount: request.body.amount };
      if (charges.size < CHARGES_AT_MOST) charges.set(id, made);
      return made;
    },
  );

  /** Answers with the request's own headers, the key among them: an answer that must not come back as it is. */
  app.get(
    "/v1/echo",
    { config: ANYONE, schema: { response: { 200: Type.Record(Type.String(), Type.String()) } } },
    ({ headers }, reply) => {
      const echoed = headers.authorization ?? "";
      reply.header("X-Echo", Buffer.from(echoed).toString("base64url"));
      return { authorization: echoed };
    },
  );

  /** Takes deliveries of webhooks. */
  app.post("/v1/hooks", { config: ANYONE, schema: { response: { 204: Type.Null() } } }, (_, reply) => {
    reply.code(204);
    return null;
  });

  app.get("/feed.xml", { config: ANYONE }, (_, reply) => {
    reply.header("ETag", '"1"').type("application/rss+xml");
    return FEED;
  });

  return app;
}

const FEED = `<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"><channel><title>News of the demo's provider</title><link>https://provider.strongroom.test</link>
<description>Two items</description>
<item><guid>2</guid><title>Keys can be rotated</title><pubDate>Tue, 01 Dec 2026 08:00:00 GMT</pubDate></item>
<item><guid>1</guid><title>We are open</title><pubDate>Mon, 30 Nov 2026 08:00:00 GMT</pubDate></item>
</channel></rss>
`;
