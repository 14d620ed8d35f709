import { expect, test } from "vitest";
import { Slots } from "../../../services/shared/queue/slots.ts";

/** Enters, and remembers who is in. */
function staged(most: number, perGroup: number) {
  const slots = new Slots(most, perGroup);
  const entered: string[] = [];
  const enter = (group: string) => {
    const entering = slots.enter(group);
    void entering.then((isIn) => isIn && entered.push(group));
    return entering;
  };
  return { slots, entered, enter, settled: () => new Promise(setImmediate) };
}

test("so many are in at once, and of a group; the first whose group has room is next", async () => {
  const { slots, entered, enter, settled } = staged(3, 2);
  for (const group of ["a", "a", "a", "b", "c"]) void enter(group);
  await settled();
  expect(entered).toEqual(["a", "a", "b"]);
  slots.leave("b");
  await settled();
  expect(entered).toEqual(["a", "a", "b", "c"]);
  slots.leave("a");
  await settled();
  expect(entered).toEqual(["a", "a", "b", "c", "a"]);
});

test("whoever waits when it is closed does not enter, and neither does anybody later", async () => {
  const { slots, enter } = staged(1, 1);
  expect(await enter("a")).toBe(true);
  const waiting = enter("b");
  slots.close();
  expect(await waiting).toBe(false);
  slots.leave("a");
  expect(await enter("c")).toBe(false);
});
