import { StrongroomError } from "../../shared/errors.ts";
import type { Intake } from "../dependencies.ts";
import { queuedPartition } from "../jobs/records.ts";

/** How many uses of one organization may be queued at once. */
const MOST_IN_FLIGHT = 1_000;
/** The queue's length is counted anew after this time; until then those submitted here are added. */
const COUNT_EVERY_MS = 1_000;
const MOST_REMEMBERED = 10_000;

/** Bounds how many uses of an organization are queued: about so many, since several intakes count apart. */
export class InFlight {
  readonly #intake: Pick<Intake, "store" | "now">;
  readonly #counts = new Map<string, { count: number; at: number }>();

  constructor(intake: Pick<Intake, "store" | "now">) {
    this.#intake = intake;
  }

  /** Counts one more. Throws `too_many_requests`. */
  async admit(org: string): Promise<void> {
    const { store, now } = this.#intake;
    let known = this.#counts.get(org);
    if (!known || now() - known.at >= COUNT_EVERY_MS) {
      const queued = await store.query(queuedPartition(org), { limit: MOST_IN_FLIGHT });
      known = { count: queued.length, at: now() };
      if (this.#counts.size >= MOST_REMEMBERED) this.#counts.clear();
      this.#counts.set(org, known);
    }
    if (known.count >= MOST_IN_FLIGHT) {
      const detail = `The organization has ${MOST_IN_FLIGHT} jobs in flight. Wait until some have ended.`;
      throw new StrongroomError("too_many_requests", detail);
    }
    known.count++;
  }
}
