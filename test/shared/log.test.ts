import { expect, test } from "vitest";
import { createLogger } from "../../services/shared/log.ts";

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
