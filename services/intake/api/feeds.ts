import { Type } from "typebox";
import { Feed, FeedItemPage, FeedPage, PutFeed } from "../../shared/api/feeds.ts";
import { PageQuery } from "../../shared/api/pages.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name } from "../../shared/work/messages.ts";
import {
  asFeed,
  deleteFeed,
  type FeedParts,
  feedItems,
  fetchNow,
  putFeed,
  readFeed,
} from "../feeds/feeds.ts";
import { type FeedRecord, feedsPartition } from "../feeds/records.ts";
import { callerOf } from "../http/caller.ts";
import { ConditionHeaders, etag, TaggedHeaders } from "../http/conditions.ts";
import { readPage } from "../http/paging.ts";

const Params = Type.Object({ name: Name }, { additionalProperties: false });
const Tagged = { ...Feed, headers: TaggedHeaders };

/** Feeds: put, get, list, delete, items, fetch now. */
export function feedRoutes(app: Server, parts: FeedParts): void {
  app.put(
    "/v1/feeds/:name",
    {
      config: { access: { level: "writer" } },
      schema: {
        summary: "Create or change a feed that is fetched: RSS, Atom or JSON Feed",
        params: Params,
        headers: ConditionHeaders,
        body: PutFeed,
        response: { 200: Tagged, 201: Tagged, ...problems(400, 401, 403, 409, 412, 413, 415, 422, 429, 503) },
      },
    },
    async (request, reply) => {
      const { org } = callerOf(request);
      const { feed, isNew } = await putFeed(parts, org, request.params.name, request.body, request.headers);
      return reply
        .code(isNew ? 201 : 200)
        .header("ETag", etag(feed.version))
        .send(await asFeed(parts, org, feed));
    },
  );

  app.get(
    "/v1/feeds",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "List feeds, ordered by name",
        querystring: PageQuery,
        response: { 200: FeedPage, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => {
      const { org } = callerOf(request);
      const { items, next } = await readPage<FeedRecord>(
        parts.intake.store,
        feedsPartition(org),
        request.query,
      );
      const feeds = await Promise.all(items.map(({ body }) => asFeed(parts, org, body)));
      return { feeds, ...(next !== undefined && { next }) };
    },
  );

  app.get(
    "/v1/feeds/:name",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get a feed",
        params: Params,
        response: { 200: Tagged, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request, reply) => {
      const { org } = callerOf(request);
      const { body } = await readFeed(parts, org, request.params.name);
      return reply.header("ETag", etag(body.version)).send(await asFeed(parts, org, body));
    },
  );

  app.delete(
    "/v1/feeds/:name",
    {
      config: { access: { level: "writer" } },
      schema: {
        summary: "Delete a feed with its items",
        params: Params,
        headers: ConditionHeaders,
        response: { 204: Type.Null(), ...problems(400, 401, 403, 404, 409, 412, 429, 503) },
      },
    },
    async (request, reply) => {
      await deleteFeed(parts, callerOf(request).org, request.params.name, request.headers);
      return reply.code(204).send(null);
    },
  );

  app.get(
    "/v1/feeds/:name/items",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "List a feed's items in the order in which they were first seen",
        description: "`next` is a cursor after the last item: keep it, and ask again later for newer ones",
        params: Params,
        querystring: PageQuery,
        response: { 200: FeedItemPage, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request) => feedItems(parts, callerOf(request).org, request.params.name, request.query),
  );

  app.post(
    "/v1/feeds/:name/fetch",
    {
      config: { access: { level: "writer" } },
      schema: {
        summary: "Fetch a feed now",
        params: Params,
        response: { 202: Feed, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    async (request, reply) => {
      const { org } = callerOf(request);
      const feed = await fetchNow(parts, org, request.params.name);
      return reply.code(202).send(await asFeed(parts, org, feed));
    },
  );
}
