import { Type } from "typebox";
import {
  PutWebhookRotation,
  WebhookRewrap,
  WebhookRotation,
  WebhookRotationRun,
} from "../../shared/api/webhooks.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name, WorkId } from "../../shared/work/messages.ts";
import { callerOf, memberOf, receiptBy } from "../http/caller.ts";
import { ConditionHeaders, etag, TaggedHeaders } from "../http/conditions.ts";
import { Preference, preferredEnd } from "../http/prefer-wait.ts";
import {
  asWebhookRewrap,
  type RewrapParts,
  readSecretsRewrap,
  submitSecretsRewrap,
} from "../webhooks/rewrap.ts";
import {
  asWebhookRotation,
  deleteWebhookRotation,
  putWebhookRotation,
  readWebhookRotation,
  startWebhookRotation,
} from "../webhooks/rotation.ts";
import { readWebhook } from "../webhooks/webhooks.ts";

const Params = Type.Object({ name: Name }, { additionalProperties: false });
const JobParams = Type.Object({ name: Name, id: WorkId }, { additionalProperties: false });
const Tagged = { ...WebhookRotation, headers: TaggedHeaders };

/** What becomes of webhooks' secrets by itself or by a worker: rotation by a schedule, sealing anew. */
export function webhookSecretRoutes(app: Server, parts: RewrapParts): void {
  const { intake } = parts;
  const closing = new AbortController();
  app.addHook("preClose", async () => closing.abort());

  app.put(
    "/v1/webhooks/:name/rotation",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Set when a webhook gets a new secret by itself",
        description:
          "The new secret is sealed to `sealTo`, and `GET` shows it sealed: only whoever holds the private key reads " +
          "it. During the grace messages have two signatures",
        params: Params,
        headers: ConditionHeaders,
        body: PutWebhookRotation,
        response: {
          200: Tagged,
          201: Tagged,
          ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const { org } = callerOf(request);
      const put = await putWebhookRotation(intake, org, request.params.name, request.body, request.headers);
      return reply
        .code(put.isNew ? 201 : 200)
        .header("ETag", etag(put.rotation.version))
        .send(put.rotation);
    },
  );

  app.get(
    "/v1/webhooks/:name/rotation",
    {
      config: { access: { right: "rotate" } },
      schema: {
        summary: "Get the rotation of a webhook's secret, with the newest secret sealed",
        params: Params,
        response: { 200: Tagged, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request, reply) => {
      const { org } = memberOf(request);
      const { body } = await readWebhookRotation(intake, org, request.params.name);
      const { secretVersion } = (await readWebhook(intake, org, request.params.name)).body;
      return reply.header("ETag", etag(body.version)).send(asWebhookRotation(body, secretVersion));
    },
  );

  app.delete(
    "/v1/webhooks/:name/rotation",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Rotate a webhook's secret by itself no more",
        params: Params,
        headers: ConditionHeaders,
        response: { 204: Type.Null(), ...problems(400, 401, 403, 404, 409, 412, 429, 503) },
      },
    },
    async (request, reply) => {
      await deleteWebhookRotation(intake, callerOf(request).org, request.params.name, request.headers);
      return reply.code(204).send(null);
    },
  );

  app.post(
    "/v1/webhooks/:name/rotation/start",
    {
      config: { access: { right: "rotate" } },
      schema: {
        summary: "Make a new secret now, sealed to the rotation's key",
        params: Params,
        response: { 200: WebhookRotationRun, ...problems(400, 401, 403, 404, 409, 429, 503) },
      },
    },
    async (request) => {
      const member = memberOf(request);
      return startWebhookRotation(intake, member.org, request.params.name, receiptBy(member));
    },
  );

  app.post(
    "/v1/webhooks/:name/rewrap",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Have a worker seal a webhook's secrets anew, by the key provider's current key",
        description:
          "The secrets and what they sign stay the same. If they are replaced in between, the job fails, and nothing " +
          "is changed",
        params: Params,
        headers: Type.Object({ prefer: Preference }),
        response: {
          200: WebhookRewrap,
          202: {
            ...WebhookRewrap,
            headers: { Location: Type.String({ description: "URL path of the job" }) },
          },
          ...problems(400, 401, 403, 404, 409, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const job = await submitSecretsRewrap(parts, callerOf(request).org, name);
      const waiting = { response: reply.raw, closing: closing.signal };
      const ended = await preferredEnd(parts, job, request.headers.prefer, waiting);
      return reply
        .header("Location", `/v1/webhooks/${name}/rewrap/${job.id}`)
        .code(ended ? 200 : 202)
        .send(asWebhookRewrap(ended ?? job));
    },
  );

  app.get(
    "/v1/webhooks/:name/rewrap/:id",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Get a job that seals a webhook's secrets anew",
        params: JobParams,
        response: { 200: WebhookRewrap, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request) => {
      const { name, id } = request.params;
      return asWebhookRewrap(await readSecretsRewrap(parts, callerOf(request).org, name, id));
    },
  );
}
