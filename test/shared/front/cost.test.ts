import { expect, test } from "vitest";
import {
  unitsOfAnswer,
  unitsOfBody,
  unitsOfHead,
  unitsOfParts,
} from "../../../services/shared/front/cost.ts";

test.each([
  [unitsOfBody, 4_096, 256],
  [unitsOfAnswer, 16_384, 64],
] as const)("%o: nothing below the first step, one from there on", (units, step, ofMib) => {
  expect([0, step - 1, step, 2 * step - 1, 2 * step].map(units)).toEqual([0, 0, 1, 1, 2]);
  expect(units(1024 * 1024)).toBe(ofMib);
});

test("names and list elements: one for sixteen", () => {
  expect([0, 15, 16, 31, 32, 4_000].map(unitsOfParts)).toEqual([0, 0, 1, 1, 2, 250]);
});

test("a head is one, and one more for each 32 lines", () => {
  const head = (lines: number) => ({ rawHeaders: Array.from({ length: 2 * lines }, () => "x") });
  expect([0, 31, 32, 63, 64].map((lines) => unitsOfHead(head(lines)))).toEqual([1, 1, 2, 2, 3]);
});
