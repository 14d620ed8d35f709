import { Type } from "typebox";
import { PageQuery } from "../../shared/api/pages.ts";
import { Delivery, DeliveryPage, SendWebhook } from "../../shared/api/webhooks.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name, WorkId } from "../../shared/work/messages.ts";
import { callerOf } from "../http/caller.ts";
import {
  asDelivery,
  listDeliveries,
  readDelivery,
  redeliver,
  sendWebhook,
  type WebhookParts,
} from "../webhooks/deliveries.ts";

const MOST_BODY_BYTES = 192 * 1024;
const Params = Type.Object({ name: Name }, { additionalProperties: false });
const DeliveryParams = Type.Object({ name: Name, id: WorkId }, { additionalProperties: false });
const Located = {
  ...Delivery,
  headers: { Location: Type.String({ description: "URL path of the delivery" }) },
};

/** Deliveries of webhooks: send, list, get, redeliver. */
export function deliveryRoutes(app: Server, parts: WebhookParts): void {
  const location = (name: string, id: string) => `/v1/webhooks/${name}/deliveries/${id}`;

  app.post(
    "/v1/webhooks/:name/send",
    {
      config: { access: { level: "writer" } },
      bodyLimit: MOST_BODY_BYTES,
      schema: {
        summary: "Send a message to a webhook, signed by Standard Webhooks",
        description: "At least once, and again over 28 hours while the receiver does not answer 2xx",
        params: Params,
        body: SendWebhook,
        response: { 202: Located, ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 503) },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const job = await sendWebhook(parts, callerOf(request).org, name, request.body);
      return reply.code(202).header("Location", location(name, job.id)).send(asDelivery(job));
    },
  );

  app.get(
    "/v1/webhooks/:name/deliveries",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "List a webhook's deliveries, newest first",
        params: Params,
        querystring: PageQuery,
        response: { 200: DeliveryPage, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request) => listDeliveries(parts, callerOf(request).org, request.params.name, request.query),
  );

  app.get(
    "/v1/webhooks/:name/deliveries/:id",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get a delivery with its attempts",
        params: DeliveryParams,
        response: { 200: Delivery, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request) => {
      const { name, id } = request.params;
      return asDelivery((await readDelivery(parts, callerOf(request).org, name, id)).body);
    },
  );

  app.post(
    "/v1/webhooks/:name/deliveries/:id/redeliver",
    {
      config: { access: { level: "writer" } },
      schema: {
        summary: "Send a delivery again, now, under the same id",
        params: DeliveryParams,
        response: { 202: Located, ...problems(400, 401, 403, 404, 409, 410, 429, 503) },
      },
    },
    async (request, reply) => {
      const { name, id } = request.params;
      const job = await redeliver(parts, callerOf(request).org, name, id);
      return reply.code(202).header("Location", location(name, id)).send(asDelivery(job));
    },
  );
}
