import { setTimeout as sleep } from "node:timers/promises";
import { StrongroomError } from "../../shared/errors.ts";
import type { Completion, Intent, Receipt } from "../../shared/receipts/receipt.ts";
import type { Intake } from "../dependencies.ts";
import { StoreUnavailableError } from "../store/store.ts";
import { type Addition, type ChainState, type Plan, planBlock } from "./block.ts";
import { type Head, headKey, type OpenIntent, type OpenIntents, openPartition } from "./records.ts";

/** What one block may have: less than an item of the store, and little enough to be read in one turn. */
const MOST_ENTRIES = 400;
const MOST_BYTES = 256 * 1024;
const MOST_ENTRY_BYTES = 64 * 1024;
/** What sequence, time, hash and so on take. */
const ENTRY_OVERHEAD = 400;
/** How many may wait for a write at once. */
const MOST_WAITING = 10_000;
/** How many intents one intake may have open: they are one item of the store. */
const MOST_OPEN = 1_500;
/** How many completions are kept while the store is away. */
const MOST_KEPT = 10_000;
const TRY_FOR_MS = 4_000;
/** Before another try, while the store is away: up to this. */
const AWAY_MS = 400;
/** After another intake was faster: up to this, and up to twice as long as a try takes. */
const WAIT_MS = 40;
const MOST_WAIT_MS = 1_000;
/** An intake that another one was faster than lets it go first for so long: the one that wrote last is always faster. */
const YIELDS_FOR_MS = 2_000;
/** An intake whose open intents were not written for this long writes them again, to show that it is alive. */
const ALIVE_EVERY_MS = 120_000;

interface Waiting {
  addition: Addition;
  bytes: number;
  resolve(receipt: Receipt | undefined): void;
  reject(error: unknown): void;
}

/**
 * One organization's chain, as one intake writes it. What arrives while a write is in flight becomes the next write:
 * one block of entries, with the head, whose revision says whether another intake was faster.
 */
export class Chain {
  readonly #intake: Pick<Intake, "store" | "log" | "now">;
  readonly #org: string;
  readonly #writer: string;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #state: ChainState | undefined;
  /** Intents of this process that are durable and not completed, by sequence. */
  readonly #held = new Map<number, OpenIntent>();
  /** Completions that could not be written yet. */
  #kept: Addition[] = [];
  /** Whether intents may be on the chain that nobody here knows of. */
  #isUnsure = false;
  /** When another intake was faster, by the monotonic clock, and how long the try took. */
  #lost = { at: Number.NEGATIVE_INFINITY, ms: 0 };
  #usedAt: number;

  constructor(intake: Pick<Intake, "store" | "log" | "now">, org: string, writer: string) {
    this.#intake = intake;
    this.#org = org;
    this.#writer = writer;
    this.#usedAt = intake.now();
  }

  async begin(intent: Intent): Promise<Receipt> {
    if (this.#waiting.length >= MOST_WAITING || this.#held.size + this.#waiting.length >= MOST_OPEN) {
      throw unavailable("The organization has too many requests in hand.");
    }
    const receipt = await this.#add({ intent });
    if (!receipt) throw unavailable("The receipt was not written.");
    return receipt;
  }

  /** Never rejects. */
  async complete(of: { sequence: number; id: string }, completion: Completion): Promise<void> {
    const addition: Addition = { of: { sequence: of.sequence, id: of.id }, completion };
    try {
      await this.#add(addition);
      this.#held.delete(of.sequence);
    } catch (err) {
      const { log } = this.#intake;
      const about = { org: this.#org, id: of.id, sequence: of.sequence, outcome: completion.outcome, err };
      if (this.#kept.length < MOST_KEPT) {
        this.#kept.push(addition);
        log.error(about, "a receipt's completion was not written; it is tried again");
      } else log.error(about, "a receipt's completion was not written; it will be unknown");
    }
  }

  /** Whether all that was begun here is completed, durably. */
  get isComplete(): boolean {
    return this.#held.size === 0 && !this.#running;
  }

  /** Nothing is lost if it is forgotten. */
  get isIdle(): boolean {
    const isBusy = this.#running || this.#waiting.length > 0 || this.#kept.length > 0 || this.#isUnsure;
    return !isBusy && this.#held.size === 0 && this.#intake.now() - this.#usedAt > ALIVE_EVERY_MS;
  }

  /** Writes again what could not be written, and that this intake is alive. */
  upkeep(): void {
    const kept = this.#kept;
    this.#kept = [];
    for (const each of kept) if ("of" in each) void this.complete(each.of, each.completion);
    const aliveAt = this.#state?.own?.body.aliveAt ?? 0;
    const isDue = this.#held.size > 0 && this.#intake.now() - aliveAt > ALIVE_EVERY_MS;
    if (isDue || this.#isUnsure) this.#running ??= this.#run([]);
  }

  /** Resolves once nothing is being written. */
  async settled(): Promise<void> {
    while (this.#running) await this.#running;
  }

  #add(addition: Addition): Promise<Receipt | undefined> {
    const bytes =
      Buffer.byteLength(JSON.stringify("intent" in addition ? addition.intent : addition.completion)) +
      ENTRY_OVERHEAD;
    if (bytes > MOST_ENTRY_BYTES) throw unavailable("The request's receipt would be too long.");
    this.#usedAt = this.#intake.now();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ addition, bytes, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Writes what waits, until nothing does; first of all this, which may be nothing but that the intake is alive. */
  async #run(first = this.#take()): Promise<void> {
    let batch = first;
    do {
      try {
        const { receipts, left } = await this.#write(batch.map(({ addition }) => addition));
        for (const [index, { resolve }] of batch.entries()) {
          if (!left.has(index)) resolve(receipts[index]);
        }
        this.#waiting.unshift(...batch.filter((_, index) => left.has(index)));
        if (performance.now() - this.#lost.at < YIELDS_FOR_MS) await this.#yield();
      } catch (cause) {
        this.#isUnsure = true;
        const error = unavailable("Receipts cannot be written now, so nothing was sent.", cause);
        for (const { reject } of batch) reject(error);
      }
      batch = this.#take();
    } while (batch.length > 0);
    this.#running = undefined;
  }

  #take(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const each of this.#waiting) {
      bytes += each.bytes;
      if (count === MOST_ENTRIES || bytes > MOST_BYTES) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  /** Writes a block. After a write that failed it looks whether that was carried out, and otherwise tries again. */
  async #write(additions: Addition[]): Promise<Plan> {
    const { store, now } = this.#intake;
    const tried = new Map<string, Plan>();
    const until = performance.now() + TRY_FOR_MS;
    for (;;) {
      const began = performance.now();
      try {
        this.#state ??= await this.#load();
        const done = tried.get(this.#state.own?.body.write ?? "");
        const plan = done ?? (await planBlock(store, this.#org, this.#state, additions, this.#held, now()));
        if (!done && plan.writes.length > 0) {
          tried.set(plan.token, plan);
          if (!(await store.write(plan.writes))) throw OTHERS_WERE_FASTER;
          this.#state = plan.next;
        }
        for (const intent of plan.begun) this.#held.set(intent.sequence, intent);
        this.#isUnsure = false;
        return plan;
      } catch (error) {
        this.#state = undefined;
        if (error !== OTHERS_WERE_FASTER && !(error instanceof StoreUnavailableError)) throw error;
        const at = performance.now();
        if (at > until) throw error;
        if (error !== OTHERS_WERE_FASTER) await sleep(Math.random() * AWAY_MS);
        else {
          this.#lost = { at, ms: at - began };
          await this.#yield();
        }
      }
    }
  }

  /** Lets others write first, for a random time. */
  #yield(): Promise<void> {
    return sleep(Math.random() * Math.min(Math.max(WAIT_MS, 2 * this.#lost.ms), MOST_WAIT_MS));
  }

  async #load(): Promise<ChainState> {
    const { store } = this.#intake;
    const [head, own] = await Promise.all([
      store.get<Head>(headKey(this.#org)),
      store.get<OpenIntents>({ partition: openPartition(this.#org), sort: this.#writer }),
    ]);
    return { writer: this.#writer, head, own };
  }
}

/** Another intake wrote the chain first. */
const OTHERS_WERE_FASTER = new Error("other intakes were faster");

const unavailable = (detail: string, cause?: unknown) =>
  new StrongroomError("receipts_unavailable", detail, { cause });
