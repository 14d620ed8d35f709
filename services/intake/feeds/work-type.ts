import type { FeedMessage } from "../../shared/work/messages.ts";
import type { Intake } from "../dependencies.ts";
import { type FetchWork, inState, type JobRecord } from "../jobs/records.ts";
import { CannotSend, type WorkType } from "../jobs/work-type.ts";
import type { Write } from "../store/store.ts";
import { contentKey, type FeedContent, type FeedRecord, feedKey } from "./records.ts";
import { storeItems } from "./store-items.ts";

/** Fetches of feeds, by workers of kind `feed`. */
export function fetchWork({ store }: Pick<Intake, "store">): WorkType<FetchWork> {
  return {
    async compose({ id, org, attempt, notAfter, work }) {
      const [feed, content] = await Promise.all([
        store.get<FeedRecord>(feedKey(org, work.feed)),
        store.get<FeedContent>(contentKey(org, work.feed)),
      ]);
      if (feed?.body.url !== work.url) {
        throw new CannotSend({
          class: "request_not_allowed",
          detail: "The feed was deleted or has another URL.",
        });
      }
      const { etag, lastModified } = content?.body ?? {};
      const message: FeedMessage = {
        ...{ type: "fetch", job: id, org, attempt, notAfter, url: work.url },
        ...(etag !== undefined && { etag }),
        ...(lastModified !== undefined && { lastModified }),
      };
      return JSON.stringify(message);
    },

    async settle(job, outcome, at) {
      if (outcome.state !== "fetched" && outcome.state !== "failed") return undefined;
      const { org, work } = job;
      const about = { org, name: work.feed };
      const current = await store.get<FeedRecord>(feedKey(org, work.feed));
      const isCurrent = current?.body.url === work.url;
      if (outcome.state === "fetched" && isCurrent && !outcome.notModified) {
        // The result is delivered again.
        if (!(await storeItems(store, about, outcome, at))) throw new Error("the feed is being changed");
      }
      const ended: JobRecord = {
        ...inState(job, outcome.state === "failed" ? "failed" : "succeeded", at),
        endedAt: at,
      };
      if (!isCurrent) return { job: ended, writes: [] };
      const { fetching: _, failure: __, ...feed } = current.body;
      const changed: FeedRecord =
        outcome.state === "failed"
          ? { ...feed, failure: { class: outcome.failure, detail: outcome.detail } }
          : { ...feed, lastFetchedAt: at, ...(outcome.title !== undefined && { title: outcome.title }) };
      const write: Write = { ...feedKey(org, work.feed), body: changed, expect: current.revision };
      return { job: ended, writes: [write] };
    },
  };
}
