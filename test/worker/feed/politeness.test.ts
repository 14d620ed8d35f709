import { describe, expect, test } from "vitest";
import { Politeness } from "../../../services/worker/feed/politeness.ts";

const never = new AbortController().signal;

describe("a host", () => {
  test("has one request at a time, and a gap between two", async () => {
    const politeness = new Politeness({ gapMs: 30 });
    let running = 0;
    const times: [begun: number, ended: number][] = [];
    const request = () =>
      politeness.take("a.example", never, async () => {
        expect(++running).toBe(1);
        const begun = performance.now();
        await new Promise((resolve) => setTimeout(resolve, 5));
        running--;
        times.push([begun, performance.now()]);
      });
    await Promise.all([request(), request(), request()]);
    expect(times).toHaveLength(3);
    for (const [index, [begun]] of times.entries()) {
      const before = times[index - 1];
      // Timers may be a millisecond early.
      if (before) expect(begun - before[1]).toBeGreaterThanOrEqual(29);
    }
  });

  test("does not hold up others", async () => {
    const politeness = new Politeness();
    const { promise, resolve } = Promise.withResolvers<string>();
    const slow = politeness.take("a.example", never, () => promise);
    expect(await politeness.take("b.example", never, async () => "b")).toBe("b");
    resolve("a");
    expect(await slow).toBe("a");
  });

  test("has only so many that wait", async () => {
    const politeness = new Politeness({ gapMs: 0 });
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = Array.from({ length: 4 }, () => politeness.take("a.example", never, () => promise));
    await expect(politeness.take("a.example", never, () => promise)).rejects.toMatchObject({
      failure: "unreachable",
      isTransient: true,
    });
    resolve();
    await Promise.all(waiting);
  });

  test("that asked for a pause gets no request until then, for an hour at most", async () => {
    let now = 1_000_000;
    const politeness = new Politeness({ gapMs: 0, now: () => now });
    const ask = () => politeness.take("a.example", never, async () => "asked");
    expect(politeness.pause("a.example", 60)).toBe(60);
    await expect(ask()).rejects.toMatchObject({ failure: "unreachable", isTransient: false });
    now += 60_000;
    expect(await ask()).toBe("asked");
    expect(politeness.pause("a.example", 1e9)).toBe(3_600);
  });

  test("that asks for a pause gets no request from those that waited for their turn", async () => {
    const politeness = new Politeness({ gapMs: 0 });
    const { promise, resolve } = Promise.withResolvers<void>();
    const first = politeness.take("a.example", never, async () => {
      await promise;
      politeness.pause("a.example", 60);
    });
    let asked = 0;
    const second = politeness.take("a.example", never, async () => asked++);
    resolve();
    await first;
    await expect(second).rejects.toMatchObject({ failure: "unreachable", isTransient: false });
    expect(asked).toBe(0);
  });

  test("serves the next one after a failure or a job that was given up", async () => {
    const politeness = new Politeness({ gapMs: 0 });
    const failing = politeness.take("a.example", never, () => Promise.reject(new Error("broken")));
    const givenUp = politeness.take(
      "a.example",
      AbortSignal.abort(new Error("stopped")),
      async () => "asked",
    );
    await expect(failing).rejects.toThrow("broken");
    await expect(givenUp).rejects.toThrow("stopped");
    expect(await politeness.take("a.example", never, async () => "asked")).toBe("asked");
  });
});
