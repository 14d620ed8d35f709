import { expect, test } from "vitest";
import { Circuit } from "../../../services/gateway/upstream/circuit.ts";

const timeout = { code: "UND_ERR_HEADERS_TIMEOUT" };

function opened(): Circuit {
  const circuit = new Circuit();
  for (let i = 0; i < 5; i++) {
    expect(circuit.admits(i)).toBe(true);
    circuit.failed(timeout, i);
  }
  return circuit;
}

test("opens after five timeouts in a row, and lets one request a second through", () => {
  const circuit = opened();
  expect(circuit.open).toBe(true);
  expect(circuit.admits(500)).toBe(false);
  expect([1_004, 1_005, 2_003, 2_004].map((now) => circuit.admits(now))).toEqual([true, false, false, true]);
});

test("closes with the first answer", () => {
  const circuit = opened();
  expect(circuit.admits(2_000)).toBe(true);
  circuit.answered();
  expect(circuit.open).toBe(false);
  expect([1, 2, 3].map(() => circuit.admits(2_001))).toEqual([true, true, true]);
});

test("an answer between timeouts, and errors that cost no time, do not open it", () => {
  const circuit = new Circuit();
  for (let i = 0; i < 20; i++) {
    circuit.failed(timeout, i);
    if (i % 4 === 0) circuit.answered();
    circuit.failed({ code: "ECONNREFUSED" }, i);
    circuit.failed({ code: "UND_ERR_SOCKET" }, i);
    circuit.failed(new Error("the caller has disconnected"), i);
  }
  expect(circuit.open).toBe(false);
});

test("after an answer it takes five timeouts again", () => {
  const circuit = opened();
  circuit.answered();
  for (let i = 0; i < 4; i++) circuit.failed(timeout, 5_000);
  expect(circuit.open).toBe(false);
  expect(circuit.admits(5_000)).toBe(true);
  circuit.failed(timeout, 5_000);
  expect(circuit.open).toBe(true);
  expect(circuit.admits(5_999)).toBe(false);
});
