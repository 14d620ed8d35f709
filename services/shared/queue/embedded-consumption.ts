import { setTimeout as sleep } from "node:timers/promises";
import type { Transactions } from "../sqlite/transactions.ts";
import type { Leased, MessageTable } from "./embedded-messages.ts";
import { checkConsume, reasonText, retryWait, THROWN_SECONDS, TOO_MANY_RECEIVES } from "./limits.ts";
import {
  type ConsumeOptions,
  type Consumption,
  type Disposition,
  type Handler,
  QueueUnavailableError,
} from "./queue.ts";
import type { Wake } from "./wake.ts";

/** How soon a message is seen whose notification did not arrive. */
const POLL_MS = 250;
/** The same where the system sends no notifications. */
const BLIND_POLL_MS = 10;
/** Wait after the file could not be used. */
const UNAVAILABLE_MS = 500;

interface Parts {
  transactions: Transactions;
  messages: MessageTable;
  wake: Wake;
  now: () => number;
  hasDeadLetters: boolean;
}

interface InHand {
  message: Leased;
  lease: AbortController;
  /** When the lease ends unless it is extended. */
  until: number;
  done: Promise<void>;
}

/** Consumes an embedded queue. */
export function consumeEmbedded(parts: Parts, options: ConsumeOptions, handler: Handler): Consumption {
  checkConsume(options);
  const { transactions, messages, wake, now, hasDeadLetters } = parts;
  const { concurrency, maxReceives, perGroup = Number.POSITIVE_INFINITY } = options;
  const visibilityMs = options.visibilitySeconds * 1000;
  const inHand = new Set<InHand>();
  const settling = new Set<Promise<void>>();
  let isStopping = false;

  async function run(): Promise<void> {
    while (!isStopping) {
      try {
        await wake.wait(await receiveNow());
      } catch (error) {
        ignoreUnavailable(error);
        await wake.wait(UNAVAILABLE_MS);
      }
    }
  }

  /** Takes what there is room for. Returns after how many milliseconds to look again. */
  async function receiveNow(): Promise<number> {
    const pollMs = wake.isListening ? POLL_MS : BLIND_POLL_MS;
    for (;;) {
      const room = concurrency - inHand.size;
      // A handler that ends wakes us.
      if (room === 0 || isStopping) return pollMs;
      // A look does not take the lock that others may need.
      const wait = (transactions.read(messages.soonest) ?? Number.POSITIVE_INFINITY) - now();
      if (wait > 0) return Math.min(wait, pollMs);
      const received = await transactions.run(() => receive(room));
      for (const message of received) {
        if (isStopping) void settleBy(() => messages.extend(message, now()));
        else deliver(message);
      }
      // Others were faster, or the groups of all that are ready have enough in hand.
      if (received.length === 0) return pollMs;
    }
  }

  function receive(limit: number): Leased[] {
    const groups = new Map<string, number>();
    for (const { message } of inHand) groups.set(message.group, (groups.get(message.group) ?? 0) + 1);
    const mayTake = (group: string) => {
      const count = groups.get(group) ?? 0;
      if (count >= perGroup) return false;
      groups.set(group, count + 1);
      return true;
    };
    const tooOften = (message: Leased) => park(message, TOO_MANY_RECEIVES);
    return messages.receive(now(), { limit, visibilityMs, maxReceives, mayTake, tooOften });
  }

  function deliver(message: Leased): void {
    const each: InHand = {
      message,
      lease: new AbortController(),
      until: now() + visibilityMs,
      done: Promise.resolve(),
    };
    inHand.add(each);
    each.done = handle(each);
  }

  async function handle(each: InHand): Promise<void> {
    const { message, lease } = each;
    const disposition = await Promise.resolve()
      .then(() => handler({ body: message.body, receiveCount: message.receives, signal: lease.signal }))
      .catch((): Disposition => ({ retryAfterSeconds: THROWN_SECONDS }));
    inHand.delete(each);
    // The next receive shares the transaction of this settlement.
    wake.wake();
    // Whoever has received it since decides about it.
    if (lease.signal.aborted) return;
    await settleBy(() => settle(message, disposition));
  }

  /** If the file cannot be used, the messages come again after their leases, as at-least-once delivery allows. */
  function settleBy(work: () => void): Promise<void> {
    const settled: Promise<void> = transactions
      .run(work)
      .catch(ignoreUnavailable)
      .finally(() => settling.delete(settled));
    settling.add(settled);
    return settled;
  }

  function settle(message: Leased, disposition: Disposition): void {
    if ("done" in disposition) messages.remove(message);
    else if ("park" in disposition) park(message, disposition.park);
    else if (message.receives >= maxReceives) park(message, TOO_MANY_RECEIVES);
    else messages.extend(message, now() + retryWait(disposition.retryAfterSeconds) * 1000);
  }

  function park(message: Leased, reason: string): void {
    if (hasDeadLetters) messages.park(message, reasonText(reason), now());
    else if (messages.remove(message)) options.onDropped?.(message.body, reasonText(reason));
  }

  async function extendLeases(): Promise<void> {
    const all = [...inHand];
    if (all.length === 0) return;
    const until = now() + visibilityMs;
    try {
      await transactions.run(() => {
        for (const each of all) {
          // One that was settled meanwhile has no lease to extend.
          if (!inHand.has(each)) continue;
          if (messages.extend(each.message, until)) each.until = until;
          else each.lease.abort(LOST);
        }
      });
    } catch (error) {
      ignoreUnavailable(error);
      for (const { until, lease } of all) if (until <= now()) lease.abort(LOST);
    }
  }

  async function stop(graceMs: number): Promise<void> {
    isStopping = true;
    wake.wake();
    await running;
    const ended = Promise.all([...inHand].map(({ done }) => done));
    const grace = new AbortController();
    await Promise.race([ended, sleep(graceMs, undefined, { signal: grace.signal }).catch(() => {})]);
    grace.abort();
    clearInterval(heartbeat);
    const left = [...inHand];
    for (const { lease } of left) lease.abort(STOPPED);
    void settleBy(() => {
      for (const { message } of left) messages.extend(message, now());
    });
    await Promise.all(settling);
    wake.notify();
  }

  const heartbeat = setInterval(() => void extendLeases(), visibilityMs / 3);
  const running = run();
  let stopped: Promise<void> | undefined;
  return {
    stop(graceMs) {
      stopped ??= stop(graceMs);
      return stopped;
    },
  };
}

function ignoreUnavailable(error: unknown): void {
  if (!(error instanceof QueueUnavailableError)) throw error;
}

const LOST = new Error("the message's lease was lost");
const STOPPED = new Error("the consumption has stopped");
