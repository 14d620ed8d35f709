import { expect, test } from "vitest";
import { Polls } from "../../../services/shared/queue/sqs-polls.ts";

/** Polls that end when told. */
function staged(most: number) {
  const polls = new Polls(most);
  const open: ((answer: string) => void)[] = [];
  const start = () =>
    polls.run(
      () => new Promise<string>((resolve) => open.push(resolve)),
      (answer) => answer === "",
    );
  /** The oldest poll that is under way ends. */
  const end = async (answer: string) => {
    open.shift()?.(answer);
    await new Promise(setImmediate);
  };
  return { open, start, end };
}

test("one poll at a time as long as none finds anything", async () => {
  const { open, start, end } = staged(3);
  const all = [start(), start(), start()];
  expect(open).toHaveLength(1);
  await end("");
  expect(open).toHaveLength(1);
  await end("");
  await end("");
  expect(await Promise.all(all)).toEqual(["", "", ""]);
});

test("all of them once one has found something, until one finds nothing", async () => {
  const { open, start, end } = staged(3);
  for (let count = 0; count < 6; count++) void start();
  await end("a");
  expect(open).toHaveLength(3);
  await end("");
  expect(open).toHaveLength(2);
  await end("");
  expect(open).toHaveLength(1);
});

test("a poll that fails counts as one that found nothing", async () => {
  const polls = new Polls(2);
  await expect(
    polls.run(
      () => Promise.reject(new Error("down")),
      () => false,
    ),
  ).rejects.toThrow("down");
  expect(
    await polls.run(
      async () => "a",
      () => false,
    ),
  ).toBe("a");
});
