import { Type } from "typebox";
import { BrokerCredential } from "../../shared/api/credentials.ts";
import { CheckedRules, CheckRules, CredentialRules } from "../../shared/api/rules.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name } from "../../shared/work/messages.ts";
import { type ChangeParts, changePolicy } from "../broker/change-policy.ts";
import { checkRules } from "../broker/check-rules.ts";
import { checkRulesForKey } from "../connections/delegation.ts";
import { brokerCredential } from "../credentials/load.ts";
import { callerOf, useMemberOf } from "../http/caller.ts";
import { ConditionHeaders, etag, TaggedHeaders } from "../http/conditions.ts";

const Params = Type.Object({ name: Name }, { additionalProperties: false });
const MOST_BODY_BYTES = 256 * 1024;

/** The rules of credentials that the broker uses: read, change, try. */
export function ruleRoutes(app: Server, parts: ChangeParts): void {
  const { store, now } = parts.intake;

  app.get(
    "/v1/credentials/:name/rules",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get the rules of a credential",
        params: Params,
        response: {
          200: { ...CredentialRules, headers: TaggedHeaders },
          ...problems(400, 401, 403, 404, 409, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const { record } = await brokerCredential(store, callerOf(request).org, request.params.name);
      const { rules, concurrency } = record.destination;
      reply.header("ETag", etag(record.version));
      return { rules, ...(concurrency !== undefined && { concurrency }) };
    },
  );

  app.put(
    "/v1/credentials/:name/rules",
    {
      config: { access: { level: "admin" } },
      bodyLimit: MOST_BODY_BYTES,
      schema: {
        summary: "Change the rules of a credential",
        description:
          "Makes a new version with the same value, which the broker seals anew for the changed rules: whoever holds " +
          "the store cannot change them. Where the value goes, and how, changes only with the value itself",
        params: Params,
        headers: ConditionHeaders,
        body: CredentialRules,
        response: {
          200: { ...BrokerCredential, headers: TaggedHeaders },
          ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 500, 503, 504),
        },
      },
    },
    async (request, reply) => {
      const { rules, concurrency } = request.body;
      const member = useMemberOf(request);
      checkRulesForKey((await brokerCredential(store, member.org, request.params.name)).record);
      const record = await changePolicy(parts, member, {
        ...{ id: request.id, name: request.params.name, conditions: request.headers, at: "/body" },
        change: ({ concurrency: _, ...policy }) => ({
          ...{ ...policy, rules },
          ...(concurrency !== undefined && { concurrency }),
        }),
      });
      return reply.header("ETag", etag(record.version)).send(record);
    },
  );

  app.post(
    "/v1/credentials/:name/rules/check",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "See what the rules say of a request, which is not sent",
        params: Params,
        body: CheckRules,
        response: { 200: CheckedRules, ...problems(400, 401, 403, 404, 409, 415, 429, 503) },
      },
    },
    async (request) => {
      const member = useMemberOf(request);
      const { record } = await brokerCredential(store, member.org, request.params.name);
      return checkRules(record.destination.rules, member, request.body, now());
    },
  );
}
