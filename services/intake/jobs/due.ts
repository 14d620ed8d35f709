import type { Intake } from "../dependencies.ts";
import type { DueHandlers } from "../due/loop.ts";
import { postpone } from "../due/loop.ts";
import type { Jobs } from "./jobs.ts";

/** While one intake sends a job again, others leave it alone. */
const SENDING_SECONDS = 30;

/** Sends jobs that are not known to be in their queue, and ends those whose worker never reported. */
export function jobDueHandlers(
  intake: Pick<Intake, "store" | "now" | "log">,
  jobs: Jobs,
): Pick<DueHandlers, "send" | "overdue"> {
  const { store, now, log } = intake;
  return {
    async send(item) {
      if (item.body.type !== "send") return;
      const job = (await jobs.get(item.body))?.body;
      if (job?.state !== "queued" || job.attempt !== item.body.attempt) {
        await store.write([{ partition: item.partition, sort: item.sort, remove: true }]);
        return;
      }
      const moved = await postpone(intake, item, SENDING_SECONDS);
      if (!moved) return;
      log.info({ org: job.org, job: job.id, kind: job.kind }, "a job is sent again");
      if (await jobs.send(job)) await store.write([{ ...moved, remove: true }]);
    },
    async overdue(item) {
      if (item.body.type !== "overdue") return;
      const detail = "No worker reported the job's end in time. It may have been sent.";
      const at = new Date(now()).toISOString();
      const settled = await jobs.settle(item.body, { state: "failed", failure: "expired", detail }, at);
      if (settled !== "settled") {
        await store.write([{ partition: item.partition, sort: item.sort, remove: true }]);
      }
    },
  };
}
