import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import { ConfigError } from "../../../services/shared/config.ts";
import { openQueues } from "../../../services/shared/queue/open-queues.ts";
import { test } from "../../harness/folder.ts";

const OPTIONS = { concurrency: 1, visibilitySeconds: 30, maxReceives: 3 };

test("local:FOLDER has jobs with dead letters, and results without", async ({ folder }) => {
  const place = join(folder, "queues: integration");
  const { jobs, results, deadLetters } = await openQueues(`local:${place}`);
  expect((await readdir(place)).filter((name) => name.endsWith(".sqlite"))).toEqual([
    "jobs.sqlite",
    "results.sqlite",
  ]);
  await jobs.send({ body: "job", group: "acme" });
  await results.send({ body: "result", group: "acme" });
  jobs.consume(OPTIONS, async () => ({ park: "bad" }));
  const dropped: string[][] = [];
  results.consume({ ...OPTIONS, onDropped: (...message) => void dropped.push(message) }, async () => ({
    park: "worse",
  }));
  await expect.poll(() => deadLetters.list(10)).toMatchObject([{ body: "job", reason: "bad" }]);
  await expect.poll(() => dropped).toEqual([["result", "worse"]]);
  const database = new DatabaseSync(join(place, "results.sqlite"));
  expect(database.prepare("SELECT * FROM dead").all()).toEqual([]);
  database.close();
  await jobs.close();
  await results.close();
});

test("anything else is refused", async () => {
  for (const setting of ["", "local", "local:", "sqs:", "sqs:jobs", "redis://somewhere"]) {
    await expect(openQueues(setting)).rejects.toThrow(ConfigError);
  }
});
