import { type Static, Type } from "typebox";
import { FeedItem, Name } from "../work/messages.ts";
import { Next } from "./pages.ts";
import { Time } from "./time.ts";
import { Failure } from "./uses.ts";

const closed = { additionalProperties: false };
const body = {
  url: Type.String({ maxLength: 2048, description: "https, without userinfo and fragment" }),
  everySeconds: Type.Integer({ minimum: 300, maximum: 604_800 }),
};

/** Body of `PUT /v1/feeds/:name`. */
export const PutFeed = Type.Object(body, closed);
export type PutFeed = Static<typeof PutFeed>;

/** An RSS, Atom or JSON feed that is fetched. */
export const Feed = Type.Object(
  {
    name: Name,
    ...body,
    version: Type.Integer(),
    title: Type.Optional(Type.String()),
    /** How many items are kept, at most 1,000. */
    items: Type.Integer(),
    nextAt: Time,
    lastFetchedAt: Type.Optional(Time),
    /** Why the last fetch failed. */
    failure: Type.Optional(Failure),
    createdAt: Time,
    updatedAt: Time,
  },
  closed,
);
export type Feed = Static<typeof Feed>;

/** One page of `GET /v1/feeds`, ordered by name. */
export const FeedPage = Type.Object({ feeds: Type.Array(Feed), next: Next }, closed);
export type FeedPage = Static<typeof FeedPage>;

/** One page of `GET /v1/feeds/:name/items`, in the order in which they were first seen; `next` continues later too. */
export const FeedItemPage = Type.Object(
  {
    items: Type.Array(Type.Object({ ...FeedItem.properties, seenAt: Time }, closed)),
    next: Type.Optional(
      Type.String({ description: "Cursor after the last item; later it returns newer ones" }),
    ),
  },
  closed,
);
export type FeedItemPage = Static<typeof FeedItemPage>;
