import type { Intake } from "../dependencies.ts";
import { lastUsedPartition } from "./records.ts";

/** A use within this time of a recorded one is not recorded. */
const ACCURATE_TO_MS = 60_000;
const MOST_REMEMBERED = 10_000;

/** Records when credentials were last used: at most once a minute for each, apart from the job's own writes. */
export class LastUsed {
  readonly #intake: Pick<Intake, "store" | "now" | "log">;
  readonly #recorded = new Map<string, number>();

  constructor(intake: Pick<Intake, "store" | "now" | "log">) {
    this.#intake = intake;
  }

  /** A failure is only logged: it is no reason to fail a job. */
  record(org: string, name: string): void {
    const { store, now, log } = this.#intake;
    const at = now();
    const key = `${org}/${name}`;
    if (at - (this.#recorded.get(key) ?? 0) < ACCURATE_TO_MS) return;
    if (this.#recorded.size >= MOST_REMEMBERED) this.#recorded.clear();
    this.#recorded.set(key, at);
    const body = { at: new Date(at).toISOString() };
    store.write([{ partition: lastUsedPartition(org), sort: name, body }]).catch((err: unknown) => {
      log.warn({ org, credential: name, err }, "the last use of a credential was not recorded");
    });
  }

  async read(org: string, name: string): Promise<string | undefined> {
    const found = await this.#intake.store.get<{ at: string }>({
      partition: lastUsedPartition(org),
      sort: name,
    });
    return found?.body.at;
  }
}
