import { Type } from "typebox";
import { Credential, CredentialPage, PutCredential } from "../../shared/api/credentials.ts";
import { PageQuery } from "../../shared/api/pages.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name } from "../../shared/work/messages.ts";
import { connectorOf } from "../connections/connector.ts";
import { storeKey } from "../connections/delegation.ts";
import {
  asCredential,
  deleteCredential,
  putCredential,
  readCredential,
  setDisabled,
} from "../credentials/credentials.ts";
import { type CredentialRecord, credentialsPartition } from "../credentials/records.ts";
import { callerOf } from "../http/caller.ts";
import { ConditionHeaders, etag, TaggedHeaders } from "../http/conditions.ts";
import { readPage } from "../http/paging.ts";
import type { Work } from "../work.ts";

/** A value of 64 KiB may take six times as much as JSON. */
const MOST_BODY_BYTES = 448 * 1024;
const Params = Type.Object({ name: Name }, { additionalProperties: false });
const Tagged = { ...Credential, headers: TaggedHeaders };

/** Credentials: put, get, list, delete, disable, enable. Nothing returns a value. */
export function credentialRoutes(app: Server, work: Work): void {
  const { intake, lastUsed } = work;
  const show = async (org: string, record: CredentialRecord) =>
    asCredential(record, await lastUsed.read(org, record.name));

  app.put(
    "/v1/credentials/:name",
    {
      config: { access: { level: "admin" } },
      bodyLimit: MOST_BODY_BYTES,
      schema: {
        summary: "Store a new version of a credential",
        description:
          "Only the newest version is kept. The destination is sealed with the value: nobody can send it elsewhere. " +
          "A sealed value is checked as far as possible without the private key: its key, point, lengths and version; " +
          "whether it opens, and what it is, nobody but a worker can tell",
        params: Params,
        headers: ConditionHeaders,
        body: PutCredential,
        response: {
          200: Tagged,
          201: Tagged,
          ...problems(400, 401, 403, 409, 412, 413, 415, 422, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const { org } = callerOf(request);
      const { name } = request.params;
      const put = () => putCredential(intake, org, name, request.body, request.headers);
      const { credential, isNew } = await storeKey(work, connectorOf(request), name, request.body, put);
      return reply
        .code(isNew ? 201 : 200)
        .header("ETag", etag(credential.version))
        .send(await show(org, credential));
    },
  );

  app.get(
    "/v1/credentials",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "List credentials, ordered by name",
        querystring: PageQuery,
        response: { 200: CredentialPage, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => {
      const { org } = callerOf(request);
      const { items, next } = await readPage<CredentialRecord>(
        intake.store,
        credentialsPartition(org),
        request.query,
      );
      const credentials = await Promise.all(items.map(({ body }) => show(org, body)));
      return { credentials, ...(next !== undefined && { next }) };
    },
  );

  app.get(
    "/v1/credentials/:name",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get a credential, without its value",
        params: Params,
        response: { 200: Tagged, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request, reply) => {
      const { org } = callerOf(request);
      const { body } = await readCredential(intake, org, request.params.name);
      return reply.header("ETag", etag(body.version)).send(await show(org, body));
    },
  );

  app.delete(
    "/v1/credentials/:name",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Delete a credential with its sealed value and the only copy of its data key",
        params: Params,
        headers: ConditionHeaders,
        response: { 204: Type.Null(), ...problems(400, 401, 403, 404, 409, 412, 429, 503) },
      },
    },
    async (request, reply) => {
      await deleteCredential(intake, callerOf(request).org, request.params.name, request.headers);
      return reply.code(204).send(null);
    },
  );

  for (const disabled of [true, false]) {
    app.post(
      `/v1/credentials/:name/${disabled ? "disable" : "enable"}`,
      {
        config: { access: { level: "admin" } },
        schema: {
          summary: disabled
            ? "Disable a credential: it is kept, and no job may use it"
            : "Enable a credential",
          params: Params,
          response: { 200: Tagged, ...problems(400, 401, 403, 404, 409, 429, 503) },
        },
      },
      async (request, reply) => {
        const { org } = callerOf(request);
        const record = await setDisabled(intake, org, request.params.name, disabled);
        return reply.header("ETag", etag(record.version)).send(await show(org, record));
      },
    );
  }
}
