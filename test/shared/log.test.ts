import { expect, test } from "vitest";
import { createLogger, forFlatLines } from "../../services/shared/log.ts";

test("a line has the time at which it was made, or the one that it brings", () => {
  const lines: string[] = [];
  const logger = createLogger("test", "info", { write: (line: string) => void lines.push(line) });
  const before = Date.now();
  logger.info("now");
  logger.info({ time: "2026-01-02T03:04:05.678Z", route: "secret/data" }, "then");
  const [now, then] = lines.map((line) => JSON.parse(line) as { time: string });
  expect(Date.parse(now?.time ?? "")).toBeGreaterThanOrEqual(before);
  expect(now?.time).toBe(new Date(now?.time ?? "").toISOString());
  expect(then).toMatchObject({ time: "2026-01-02T03:04:05.678Z", route: "secret/data", msg: "then" });
  expect(lines[1]?.match(/"time"/g)).toHaveLength(1);
});

test("what a name says to be secret is not written, wherever it stands; in flat lines, at their top", () => {
  const lines: string[] = [];
  const logger = createLogger("test", "info", { write: (line: string) => void lines.push(line) });
  const headers = { authorization: "canary", "x-vault-token": "canary" };
  logger.info({ headers, token: "canary", jwt: "canary", auth: { token: "canary", jwt: "canary" } });
  forFlatLines(logger).info({ token: "canary", jwt: "canary", route: "secret/data" });
  expect(lines.join("")).not.toContain("canary");
  expect(lines.join("").match(/\[secret\]/g)).toHaveLength(8);
  expect(JSON.parse(lines[1] ?? "")).toMatchObject({ name: "test", route: "secret/data", token: "[secret]" });
});
