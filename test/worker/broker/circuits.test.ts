import { expect, test } from "vitest";
import { Circuits } from "../../../services/worker/broker/circuits.ts";

const ORIGIN = "https://provider.example";
const OPEN = expect.objectContaining({ failure: "circuit_open" });

function opened(now = 0): Circuits {
  const circuits = new Circuits();
  for (let count = 0; count < 5; count++) {
    circuits.check("acme", ORIGIN, now);
    circuits.failed("acme", ORIGIN, now);
  }
  return circuits;
}

test("five failures in a row open it, for one organization and origin", () => {
  const circuits = opened();
  expect(() => circuits.check("acme", ORIGIN, 0)).toThrow(OPEN);
  circuits.check("globex", ORIGIN, 0);
  circuits.check("acme", "https://other.example", 0);
});

test("a connection in between begins anew", () => {
  const circuits = new Circuits();
  for (let count = 0; count < 12; count++) {
    circuits.check("acme", ORIGIN, 0);
    circuits.failed("acme", ORIGIN, 0);
    if (count % 4 === 3) circuits.connected("acme", ORIGIN);
  }
  circuits.check("acme", ORIGIN, 0);
});

test("one trial at a time, each after twice as long, up to a minute", () => {
  const circuits = opened();
  expect(() => circuits.check("acme", ORIGIN, 1_999)).toThrow(
    expect.objectContaining({ parts: { retryAfterSeconds: 1 } }),
  );
  circuits.check("acme", ORIGIN, 2_000);
  expect(() => circuits.check("acme", ORIGIN, 2_000)).toThrow(OPEN);
  let now = 2_000;
  const waits: number[] = [];
  for (let trial = 0; trial < 7; trial++) {
    circuits.failed("acme", ORIGIN, now);
    const began = now;
    for (;;) {
      now += 1_000;
      try {
        circuits.check("acme", ORIGIN, now);
        break;
      } catch {
        // still open
      }
    }
    waits.push((now - began) / 1000);
  }
  expect(waits).toEqual([4, 8, 16, 32, 60, 60, 60]);
  circuits.connected("acme", ORIGIN);
  circuits.check("acme", ORIGIN, now);
  circuits.check("acme", ORIGIN, now);
});

test("a trial that never ends holds it only for its time", () => {
  const circuits = opened();
  circuits.check("acme", ORIGIN, 2_000);
  expect(() => circuits.check("acme", ORIGIN, 3_999)).toThrow(OPEN);
  circuits.check("acme", ORIGIN, 4_000);
});
