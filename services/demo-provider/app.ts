import { createHash } from "node:crypto";
import type { Logger } from "pino";
import { Type } from "typebox";
import { createServer, type Server, type TlsIdentity } from "../shared/http/server.ts";

const ANYONE = { access: { open: "it stands in for a service elsewhere, and holds nothing" } };
const Account = Type.Object({ account: Type.String() });
const Refusal = Type.Object({ error: Type.String() });
const Charge = Type.Object({ id: Type.String(), account: Type.String(), amount: Type.Integer() });
const CHARGES_AT_MOST = 1_000;

/** The provider, not listening yet. */
export function buildDemoProvider(logger: Logger, tls: TlsIdentity): Server {
  const app = createServer(logger, { tls });
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

  /** Says who it takes the caller for. */
  app.get(
    "/v1/me",
    { config: ANYONE, schema: { response: { 200: Account, 401: Refusal } } },
    (request, reply) => {
      const account = accountOf(request.headers.authorization);
      if (account) return { account };
      reply.code(401);
      return { error: "No key." };
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
      const account = accountOf(request.headers.authorization);
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

/** A name for the holder of a key that does not tell the key; undefined without one. */
function accountOf(authorization: string | undefined): string | undefined {
  const [, key] = /^Bearer (\S+)$/.exec(authorization ?? "") ?? [];
  return key && `acct_${fingerprint(key)}`;
}

const fingerprint = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 12);

const FEED = `<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"><channel><title>News of the demo's provider</title><link>https://provider.strongroom.test</link>
<description>Two items</description>
<item><guid>2</guid><title>Keys can be rotated</title><pubDate>Tue, 01 Dec 2026 08:00:00 GMT</pubDate></item>
<item><guid>1</guid><title>We are open</title><pubDate>Mon, 30 Nov 2026 08:00:00 GMT</pubDate></item>
</channel></rss>
`;
