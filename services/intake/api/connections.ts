import { Type } from "typebox";
import {
  CompleteConnection,
  Connection,
  ConnectionPage,
  ConnectionProviders,
  ConnectionSettings,
  DeleteConnectionQuery,
  DeletedConnection,
  ReduceConnection,
  StartConnection,
  StartedConnection,
} from "../../shared/api/connections.ts";
import { PageQuery } from "../../shared/api/pages.ts";
import { PROVIDER_NAMES, providerOf } from "../../shared/broker/providers.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name } from "../../shared/work/messages.ts";
import { secretOrigin } from "../connections/client-secret.ts";
import { completeConnection } from "../connections/complete.ts";
import { readConnection, showConnection } from "../connections/connections.ts";
import { connectorOf } from "../connections/connector.ts";
import type { ConnectionParts } from "../connections/parts.ts";
import { type ConnectionRecord, connectionsPartition } from "../connections/records.ts";
import { reduceConnection } from "../connections/reduce.ts";
import { endConnection } from "../connections/revoke.ts";
import { putSettings, readSettings } from "../connections/settings.ts";
import { startConnection } from "../connections/start.ts";
import { callerOf, useMemberOf } from "../http/caller.ts";
import { readPage } from "../http/paging.ts";

const Params = Type.Object({ name: Name }, { additionalProperties: false });
/** Within the time that a client waits: a code exchange is up to four requests to the provider. */
const WITHIN_MS = 45_000;
const within = () => AbortSignal.timeout(WITHIN_MS);

/** Connections: what a provider delegates by OAuth, instead of a key that is stored. */
export function connectionRoutes(app: Server, parts: ConnectionParts): void {
  const { store } = parts.intake;

  app.post(
    "/v1/connections",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Begin a connection: returns the provider's authorization URL",
        description:
          "The same member completes it within ten minutes. Connecting again under a name replaces what it had",
        body: StartConnection,
        response: {
          201: StartedConnection,
          ...problems(400, 401, 403, 409, 413, 415, 422, 429, 502, 503, 504),
        },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await startConnection(parts, connectorOf(request), request.body, within())),
  );

  app.post(
    "/v1/connections/:name/complete",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Complete a connection with the response that the provider sent to the redirect",
        description:
          "The broker checks it, exchanges its code and seals what was granted. A flow is used up by the first try",
        params: Params,
        body: CompleteConnection,
        response: {
          200: Connection,
          201: Connection,
          ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 502, 503, 504),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { callback } = request.body;
      const { connection, isNew } = await completeConnection(
        parts,
        connectorOf(request),
        name,
        callback,
        within(),
      );
      return reply.code(isNew ? 201 : 200).send(connection);
    },
  );

  app.get(
    "/v1/connections",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "List connections, ordered by name",
        querystring: PageQuery,
        response: { 200: ConnectionPage, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => {
      const { org } = callerOf(request);
      const { items, next } = await readPage<ConnectionRecord>(
        store,
        connectionsPartition(org),
        request.query,
      );
      const connections = await Promise.all(items.map(({ body }) => showConnection(store, org, body)));
      return { connections, ...(next !== undefined && { next }) };
    },
  );

  app.get(
    "/v1/connections/:name",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get a connection, without its tokens",
        params: Params,
        response: { 200: Connection, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request) => {
      const { org } = callerOf(request);
      return showConnection(store, org, (await readConnection(store, org, request.params.name)).body);
    },
  );

  app.patch(
    "/v1/connections/:name",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Reduce the scopes of a connection",
        description:
          "Access tokens have these scopes alone from now on; what was granted at the provider stays as it is. A " +
          "provider without this needs a new connection: 409",
        params: Params,
        body: ReduceConnection,
        response: {
          200: Connection,
          ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 500, 503),
        },
      },
    },
    async (request) => {
      const { name } = request.params;
      return reduceConnection(parts, useMemberOf(request), request.id, name, request.body.scopes);
    },
  );

  app.delete(
    "/v1/connections/:name",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Revoke a connection at its provider, and delete its credential",
        params: Params,
        querystring: DeleteConnectionQuery,
        response: { 200: DeletedConnection, ...problems(400, 401, 403, 404, 409, 422, 429, 502, 503, 504) },
      },
    },
    async (request) => {
      const { name } = request.params;
      const force = request.query.force === "true";
      return endConnection(parts, connectorOf(request), name, { force }, within());
    },
  );

  app.get(
    "/v1/connection-settings",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get the redirects that connections may have",
        response: { 200: ConnectionSettings, ...problems(401, 403, 429, 503) },
      },
    },
    async (request) => readSettings(store, callerOf(request).org),
  );

  app.put(
    "/v1/connection-settings",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Replace the redirects that connections may have",
        body: ConnectionSettings,
        response: { 200: ConnectionSettings, ...problems(400, 401, 403, 413, 415, 422, 429, 503) },
      },
    },
    async (request) => putSettings(store, callerOf(request).org, request.body),
  );

  app.get(
    "/v1/connection-providers",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "List the providers that are known by name",
        response: { 200: ConnectionProviders, ...problems(401, 403, 429, 503) },
      },
    },
    async () => ({
      providers: PROVIDER_NAMES.map((name) => {
        const { title, api, kind, narrows } = providerOf(name);
        const { origin, hosts } = api;
        return {
          ...{ name, title, origin, hosts: [...hosts], secretOrigin: secretOrigin(name), kind },
          canReduce: narrows,
        };
      }),
    }),
  );
}
