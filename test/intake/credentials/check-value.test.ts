import { expect, test } from "vitest";
import { valueBytes } from "../../../services/intake/credentials/check-value.ts";

test.each([
  ["7 bytes", "1234567", "invalid_value"],
  ["nothing", "", "invalid_value"],
  ["more than 64 KiB", "x".repeat(65_537), "body_too_large"],
  ["a line break", "12345678\r\nHost: evil", "invalid_value"],
  ["a final line break", "12345678\n", "invalid_value"],
  ["a space at its end", "12345678 ", "invalid_value"],
  ["a character that no header carries", "pässword-1", "invalid_value"],
  ["a lone surrogate", "12345678\ud800", "invalid_value"],
])("a value with %s is refused", (_, value, code) => {
  expect(() => valueBytes(value)).toThrow(expect.objectContaining({ code }));
});

test.each(["12345678", "x".repeat(65_536), "with spaces within"])("any other is taken: %#", (value) => {
  expect(Buffer.from(valueBytes(value)).toString()).toBe(value);
});
