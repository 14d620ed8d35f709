import type { Store, Write } from "../../services/intake/store/store.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import type { Consumption, Queue } from "../../services/shared/queue/queue.ts";
import type { Exchange } from "../../services/worker/outbound/exchange.ts";

/**
 * One life of a process, which ends at a named point: from then on nothing that it does has an effect outside. What is
 * durable then is what a process killed there leaves. The points are before and after each of its effects.
 */
export class Life {
  readonly #end: string | undefined;
  readonly #seen: (point: string) => void;
  readonly #died = Promise.withResolvers<void>();
  isOver = false;

  /** `end`: the point at which it dies. `seen` is told of every point. */
  constructor(end: string | undefined, seen: (point: string) => void) {
    this.#end = end;
    this.#seen = seen;
  }

  get died(): Promise<void> {
    return this.#died.promise;
  }

  /** Throws if the life is over, or ends here. */
  reach(point: string): void {
    if (this.isOver) throw new Error("dead");
    this.#seen(point);
    if (point === this.#end) this.end();
  }

  /** Ends it. Throws. */
  end(): never {
    this.isOver = true;
    this.#died.resolve();
    throw new Error("dead");
  }

  /** Does something that has an effect outside, with a point on each side. */
  async around<T>(name: string, act: () => Promise<T>): Promise<T> {
    this.reach(`${name}: before`);
    const result = await act();
    this.reach(`${name}: after`);
    return result;
  }
}

/** `nameOf` names what a write does. */
export const mortalStore = (life: Life, store: Store, nameOf: (writes: Write[]) => string): Store => ({
  async get(key) {
    if (life.isOver) throw new Error("dead");
    return store.get(key);
  },
  async query(partition, range) {
    if (life.isOver) throw new Error("dead");
    return store.query(partition, range);
  },
  write: (writes) => life.around(nameOf(writes), () => store.write(writes)),
  close: async () => {},
});

export const mortalQueue = (life: Life, queue: Queue, name: string): Queue => ({
  send: (message) => life.around(`${name} sent`, () => queue.send(message)),
  consume(options, handler) {
    const consumption: Consumption = queue.consume(options, async (delivery) => {
      try {
        life.reach(`${name} received`);
        const disposition = await handler(delivery);
        life.reach(`${name} handled`);
        return disposition;
      } catch {
        // Its next life gets the message again, as it would once the lease had ended.
        void consumption.stop(0);
        return { retryAfterSeconds: 0 };
      }
    });
    return consumption;
  },
  close: () => queue.close(),
});

export const mortalKeys = (life: Life, keys: KeyProvider): KeyProvider => ({
  name: keys.name,
  makeDataKey: (context) => life.around("seals", () => keys.makeDataKey(context)),
  async openDataKey(context, encrypted) {
    life.reach("opens");
    return keys.openDataKey(context, encrypted);
  },
});

export const mortalExchange =
  (life: Life, exchange: Exchange): Exchange =>
  (sent, signal) =>
    life.around(`${sent.method} ${sent.path.replace(/key_[0-9a-f]+/, "ID")}`, () => exchange(sent, signal));
