import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe } from "vitest";
import { embeddedQueue } from "../../../services/shared/queue/embedded.ts";
import { queueContract } from "./contract.ts";

describe("the contract", () => {
  let folder: string;
  let queues = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "strongroom-test-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  queueContract(async () => {
    const file = join(folder, `queue-${++queues}.sqlite`);
    return {
      open: () => embeddedQueue(file),
      async takeAway() {
        const database = new DatabaseSync(file, { timeout: 2_000 });
        database.exec("UPDATE messages SET receives = receives + 1, visible_at = 9e12");
        database.close();
      },
    };
  });
});
