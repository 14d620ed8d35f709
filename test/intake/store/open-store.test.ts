import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { openStore } from "../../../services/intake/store/open-store.ts";
import { ConfigError } from "../../../services/shared/config.ts";
import { test } from "../../harness/folder.ts";

test("sqlite:FILE keeps items in that file", async ({ folder }) => {
  const store = await openStore(`sqlite:${join(folder, "store: of all.sqlite")}`);
  expect(await store.write([{ partition: "p", sort: "a", body: 1 }])).toBe(true);
  expect(await readdir(folder)).toContain("store: of all.sqlite");
  await store.close();
});

test("dynamodb:TABLE is opened without a call", async () => {
  const store = await openStore("dynamodb:strongroom-credentials", { region: "eu-central-1" });
  await store.close();
});

test("anything else is refused", async () => {
  for (const setting of ["", "sqlite", "sqlite:", "dynamodb:", "dynamodb:a/b", "postgres://somewhere"]) {
    await expect(openStore(setting)).rejects.toThrow(ConfigError);
  }
});
