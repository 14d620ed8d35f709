import { expect, test } from "vitest";
import { readBounded } from "../../../services/shared/http/read-bounded.ts";

test("as much as the bound is read, whatever it is cut into, and not a byte more", async () => {
  const pieces = (...sizes: number[]) =>
    new Response(ReadableStream.from(sizes.map((size) => new Uint8Array(size).fill(97))));
  expect(await readBounded(pieces(4, 0, 6), 10)).toBe("a".repeat(10));
  await expect(readBounded(pieces(4, 7), 10)).rejects.toThrow("the answer is larger than 10 bytes");
  await expect(readBounded(pieces(11), 10)).rejects.toThrow("larger");
});

test("letters may be cut in two, and there may be no body", async () => {
  const [first, second] = [Buffer.from("ü").subarray(0, 1), Buffer.from("ü").subarray(1)];
  expect(await readBounded(new Response(ReadableStream.from([first, second])), 2)).toBe("ü");
  expect(await readBounded(new Response(null), 0)).toBe("");
});

test("what is too large is not read to its end", async () => {
  let cancelled = false;
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(5)),
    cancel() {
      cancelled = true;
    },
  });
  await expect(readBounded(new Response(endless), 12)).rejects.toThrow("larger than 12 bytes");
  expect(cancelled).toBe(true);
});
