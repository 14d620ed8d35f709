import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { verifyReceipts } from "../../../services/cli/receipts/verify.ts";
import { readLines } from "../../../services/shared/receipts/export.ts";
import { ORG } from "../../harness/receipt-chain.ts";
import { honest, keys } from "../../harness/tamper.ts";

describe("the text of an export", () => {
  const text = (lines: readonly unknown[] = honest) =>
    lines.map((each) => `${JSON.stringify(each)}\n`).join("");
  const verifyText = (given: string | Buffer, pieceBytes = 1_000) => {
    const bytes = Buffer.from(given as string);
    async function* pieces() {
      for (let from = 0; from < bytes.length; from += pieceBytes)
        yield bytes.subarray(from, from + pieceBytes);
    }
    return verifyReceipts(readLines(pieces()), { keys, org: ORG });
  };

  test.each([1, 7, 1_000, 1_000_000])("verifies in pieces of %i bytes", async (pieceBytes) => {
    expect((await verifyText(text(), pieceBytes)).end.sequence).toBe(24);
  });
  test.each([
    ["is cut in the last line", (given: string) => given.slice(0, -5), "incomplete"],
    ["is cut in the middle of a line", (given: string) => given.slice(0, 3_000), "incomplete"],
    ["has no line break at its end", (given: string) => given.slice(0, -1), "incomplete"],
    ["is cut after a line", (given: string) => given.slice(0, given.indexOf("\n", 3_000) + 1), "incomplete"],
    ["has an empty line", (given: string) => given.replace("\n", "\n\n"), "malformed"],
    ["has a line that is no JSON", (given: string) => given.replace("\n", "\n{\n"), "malformed"],
    ["has a line longer than any", (given: string) => `${" ".repeat(300_000)}${given}`, "malformed"],
    ["has a byte order mark", (given: string) => `\ufeff${given}`, "malformed"],
    ["is something else", () => "<html>\n", "malformed"],
  ])("%s", async (_, tamper, fault) => {
    await expect(verifyText(tamper(text()), 64 * 1024)).rejects.toMatchObject({ fault });
  });

  test("no byte of an entry, a checkpoint or the end can be another one", async () => {
    const bytes = Buffer.from(text());
    const first = bytes.indexOf("\n") + 1;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: first, max: bytes.length - 2 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, mask) => {
          const other = Buffer.from(bytes);
          other[at] = (other[at] as number) ^ mask;
          await expect(verifyText(other, 100_000)).rejects.toMatchObject({ name: "BrokenReceipts" });
        },
      ),
      { numRuns: 1_500 },
    );
  });
});
