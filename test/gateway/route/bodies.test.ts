import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { Bodies } from "../../../services/gateway/route/bodies.ts";
import { type LimitRates, Limits } from "../../../services/shared/front/limits.ts";

const MIB = 1024 * 1024;
const long = (bytes: number) => Buffer.from(`{"data":{"a":"${"x".repeat(bytes - 17)}"}}`);
const wide = (parts: number) => Buffer.from(`{"data":[${"1,".repeat(parts - 2)}1]}`);

const bodiesWith = (rates: LimitRates = {}) => new Bodies(new Limits(rates));
const body = (org: string, bytes: Buffer, isGone = () => false) => ({
  ...{ org, bytes, contentType: undefined, verb: { body: "json" as const }, isGone },
});

/** Sends that end when they are told to. */
function held() {
  const ends: (() => void)[] = [];
  const send = () => new Promise<void>((resolve) => ends.push(resolve));
  return { ends, send };
}

test("small bodies proceed at once, however many there are", async () => {
  const bodies = bodiesWith();
  const { ends, send } = held();
  const taken = Array.from({ length: 200 }, () => bodies.take(body("a", long(16 * 1024)), send));
  expect(ends).toHaveLength(200);
  for (const end of ends) end();
  await Promise.all(taken);
});

test.each([
  ["16 KiB and a byte", long(16 * 1024 + 1)],
  ["65 parts", wide(65)],
])("four of %s go on at once of an organization, 64 wait, and another has its own four", async (_name, bytes) => {
  const bodies = bodiesWith();
  const { ends, send } = held();
  let refused = 0;
  const take = (org: string) =>
    bodies.take(body(org, bytes), send).catch((error) => {
      expect(error).toMatchObject({ code: "too_many_requests", cause: "uploads" });
      refused++;
    });
  const taken = Array.from({ length: 68 }, () => take("a"));
  await expect.poll(() => ends.length).toBe(4);
  expect(refused).toBe(0);
  await take("a");
  expect(refused).toBe(1);
  const others = Array.from({ length: 5 }, () => take("b"));
  await expect.poll(() => ends.length).toBe(8);
  for (let i = 0; i < 73; i++) {
    await expect.poll(() => ends.length).toBeGreaterThan(0);
    ends.shift()?.();
  }
  await Promise.all([...taken, ...others]);
  expect(refused).toBe(1);
  const again = Array.from({ length: 68 }, () => take("a"));
  while (again.length > 0) {
    await expect.poll(() => ends.length).toBeGreaterThan(0);
    ends.shift()?.();
    await again.shift();
  }
  expect(refused).toBe(1);
});

test("a body with 64 parts is small", () => {
  const bodies = bodiesWith();
  const { ends, send } = held();
  for (let i = 0; i < 5; i++) void bodies.take(body("a", wide(64)), send);
  expect(ends).toHaveLength(5);
  for (const end of ends) end();
});

test("a refused body, and one whose sending fails, free their places", async () => {
  const bodies = bodiesWith();
  for (let i = 0; i < 10; i++) {
    const bad = Buffer.concat([long(MIB / 8), Buffer.from("x")]);
    await expect(bodies.take(body("a", bad), async () => {})).rejects.toThrow("not JSON");
    const failing = bodies.take(body("a", long(MIB / 8)), () => Promise.reject(new Error("failed")));
    await expect(failing).rejects.toThrow("failed");
  }
  expect(await bodies.take(body("a", long(MIB / 8)), async () => "sent")).toBe("sent");
});

test("a body whose caller has disconnected is neither checked nor sent", async () => {
  const bodies = bodiesWith();
  let sent = 0;
  const gone = body("a", long(MIB / 8), () => true);
  await expect(bodies.take(gone, async () => sent++)).rejects.toThrow("disconnected");
  expect(sent).toBe(0);
});

test("other work runs between slices of large bodies, and organizations do not wait for each other", async () => {
  const bodies = bodiesWith();
  const done: string[] = [];
  const take = (org: string, bytes: number) =>
    bodies.take(body(org, long(bytes)), async () => void done.push(org));
  const all = [take("a", MIB), take("a", MIB), take("a", MIB), take("a", MIB), take("b", MIB / 8)];
  let turns = 0;
  while (!done.includes("b")) {
    await turn();
    turns++;
  }
  expect(done).toEqual(["b"]);
  expect(turns).toBeGreaterThan(5);
  await Promise.all(all);
  expect(done).toEqual(["b", "a", "a", "a", "a"]);
});

test("parts of bodies are charged to the organization: one unit for sixteen", async () => {
  const bodies = bodiesWith({ org: { perSecond: 0.001, burst: 6 } });
  const take = (parts: number) => bodies.take(body("a", wide(parts)), async () => "sent");
  for (let i = 0; i < 50; i++) expect(await take(15)).toBe("sent");
  expect(await take(47)).toBe("sent"); // 2
  expect(await take(48)).toBe("sent"); // 3
  expect(await take(1_600)).toBe("sent"); // more than the one that is left, which then has to be paid off
  await expect(take(16)).rejects.toMatchObject({ code: "too_many_requests", cause: "org" });
  expect(await take(15)).toBe("sent");
  expect(await bodies.take(body("b", wide(16)), async () => "sent")).toBe("sent");
});
