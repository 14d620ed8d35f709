import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import { PageQuery } from "../../shared/api/pages.ts";
import { PutWebhook, Webhook, WebhookPage, WebhookWithSecret } from "../../shared/api/webhooks.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name } from "../../shared/work/messages.ts";
import { callerOf } from "../http/caller.ts";
import { ConditionHeaders, etag, TaggedHeaders } from "../http/conditions.ts";
import { readPage } from "../http/paging.ts";
import type { WebhookParts } from "../webhooks/deliveries.ts";
import { type WebhookRecord, webhooksPartition } from "../webhooks/records.ts";
import {
  asWebhook,
  type ChangedWebhook,
  deleteWebhook,
  putWebhook,
  readWebhook,
  rotateSecret,
  setWebhookDisabled,
} from "../webhooks/webhooks.ts";

const Params = Type.Object({ name: Name }, { additionalProperties: false });
const Tagged = { ...Webhook, headers: TaggedHeaders };
const TaggedWithSecret = { ...WebhookWithSecret, headers: TaggedHeaders };

/** Webhooks: put, get, list, delete, rotate the secret, disable, enable. */
export function webhookRoutes(app: Server, { intake }: WebhookParts): void {
  const tag = (reply: FastifyReply, { version }: WebhookRecord) => reply.header("ETag", etag(version));
  /** The only answers with a secret. */
  const withSecret = ({ webhook, secret }: ChangedWebhook) => ({
    ...asWebhook(webhook),
    ...(secret && { secret: secret.reveal() }),
  });

  app.put(
    "/v1/webhooks/:name",
    {
      config: { access: { level: "writer" } },
      schema: {
        summary: "Create or change a webhook",
        description:
          "The answer has the signing secret if it is new, and only then: of a new webhook, and of one whose URL has " +
          "another host or path, for a secret is sealed for its destination",
        params: Params,
        headers: ConditionHeaders,
        body: PutWebhook,
        response: {
          200: TaggedWithSecret,
          201: TaggedWithSecret,
          ...problems(400, 401, 403, 409, 412, 413, 415, 422, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const { org } = callerOf(request);
      const { name } = request.params;
      const { isNew, ...changed } = await putWebhook(intake, org, name, request.body, request.headers);
      tag(reply as FastifyReply, changed.webhook);
      return reply.code(isNew ? 201 : 200).send(withSecret(changed));
    },
  );

  app.get(
    "/v1/webhooks",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "List webhooks, ordered by name",
        querystring: PageQuery,
        response: { 200: WebhookPage, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => {
      const partition = webhooksPartition(callerOf(request).org);
      const { items, next } = await readPage<WebhookRecord>(intake.store, partition, request.query);
      return { webhooks: items.map(({ body }) => asWebhook(body)), ...(next !== undefined && { next }) };
    },
  );

  app.get(
    "/v1/webhooks/:name",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get a webhook, without its secret",
        params: Params,
        response: { 200: Tagged, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request, reply) => {
      const { body } = await readWebhook(intake, callerOf(request).org, request.params.name);
      tag(reply as FastifyReply, body);
      return asWebhook(body);
    },
  );

  app.delete(
    "/v1/webhooks/:name",
    {
      config: { access: { level: "writer" } },
      schema: {
        summary: "Delete a webhook with its secrets",
        params: Params,
        headers: ConditionHeaders,
        response: { 204: Type.Null(), ...problems(400, 401, 403, 404, 409, 412, 429, 503) },
      },
    },
    async (request, reply) => {
      await deleteWebhook(intake, callerOf(request).org, request.params.name, request.headers);
      return reply.code(204).send(null);
    },
  );

  app.post(
    "/v1/webhooks/:name/rotate",
    {
      config: { access: { level: "writer" } },
      schema: {
        summary: "Make a new signing secret; for a day messages have two signatures",
        params: Params,
        response: { 200: TaggedWithSecret, ...problems(400, 401, 403, 404, 409, 429, 503) },
      },
    },
    async (request, reply) => {
      const changed = await rotateSecret(intake, callerOf(request).org, request.params.name);
      tag(reply as FastifyReply, changed.webhook);
      return withSecret(changed);
    },
  );

  for (const disabled of [true, false]) {
    app.post(
      `/v1/webhooks/:name/${disabled ? "disable" : "enable"}`,
      {
        config: { access: { level: "writer" } },
        schema: {
          summary: disabled ? "Disable a webhook: nothing is sent to it" : "Enable a webhook",
          params: Params,
          response: { 200: Tagged, ...problems(400, 401, 403, 404, 409, 429, 503) },
        },
      },
      async (request, reply) => {
        const { org } = callerOf(request);
        const record = await setWebhookDisabled(intake, org, request.params.name, disabled);
        tag(reply as FastifyReply, record);
        return asWebhook(record);
      },
    );
  }
}
