import type { UsePage, UseState } from "../../shared/api/uses.ts";
import { afterCursor, asCursor, type PageAsked, pageLimit } from "../http/paging.ts";
import { type JobRecord, jobsPartition, type UseWork, type Work } from "../jobs/records.ts";
import type { Store } from "../store/store.ts";
import { asUse } from "./view.ts";

/** How many records are looked through for a page. */
const MOST_READ = 500;
const READ_AT_ONCE = 100;

export interface UsesAsked extends PageAsked {
  state?: UseState;
  credential?: string;
}

/** A page of uses, newest first. With a filter it may be short, and still have a next page. */
export async function listUses(store: Store, org: string, asked: UsesAsked): Promise<UsePage> {
  const limit = pageLimit(asked);
  const jobs: UsePage["jobs"] = [];
  let { after } = afterCursor(asked);
  for (let read = 0; read < MOST_READ; read += READ_AT_ONCE) {
    const found = await store.query<JobRecord>(jobsPartition(org, "integration"), {
      ...(after !== undefined && { after }),
      limit: READ_AT_ONCE,
      descending: true,
    });
    for (const { body, sort } of found) {
      after = sort;
      if (!isUse(body) || !isAsked(body, asked)) continue;
      jobs.push(asUse(body));
      if (jobs.length === limit) return { jobs, next: asCursor(after) };
    }
    if (found.length < READ_AT_ONCE) return { jobs };
  }
  return { jobs, ...(after !== undefined && { next: asCursor(after) }) };
}

const isUse = (job: JobRecord): job is JobRecord<UseWork> => (job.work satisfies Work).type === "request";

const isAsked = (job: JobRecord<UseWork>, { state, credential }: UsesAsked): boolean =>
  (state === undefined || job.state === state) &&
  (credential === undefined || job.work.credential === credential);
