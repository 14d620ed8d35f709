import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { ConfigError } from "../../../services/shared/config.ts";
import { readPrivateDestinations } from "../../../services/worker/outbound/private-destinations.ts";
import { test } from "../../harness/folder.ts";

const ORIGIN = "https://provider.strongroom.test:8260";

describe("the operator's exceptions", () => {
  test("are none unless a file is named", () => {
    expect(readPrivateDestinations(undefined).size).toBe(0);
  });

  test("are found by their origin", async ({ folder }) => {
    const file = join(folder, "destinations.json");
    const exception = { origin: ORIGIN, address: "127.0.0.1", ca: "PEM" };
    await writeFile(file, JSON.stringify([exception]));
    expect(readPrivateDestinations(file)).toEqual(new Map([[ORIGIN, exception]]));
  });

  const WRONG: [what: string, text: string, message: string][] = [
    ["no JSON", "{", "not valid JSON"],
    ["no list", "{}", "not a list"],
    ["an unknown member", JSON.stringify([{ origin: ORIGIN, address: "::1", insecure: true }]), "not a list"],
    [
      "an origin that is none",
      JSON.stringify([{ origin: "http://a.example", address: "::1" }]),
      "canonical form",
    ],
    ["a name as address", JSON.stringify([{ origin: ORIGIN, address: "localhost" }]), "not an IP address"],
  ];
  for (const [what, text, message] of WRONG) {
    test(`${what} stops the start`, async ({ folder }) => {
      const file = join(folder, "destinations.json");
      await writeFile(file, text);
      expect(() => readPrivateDestinations(file)).toThrow(ConfigError);
      expect(() => readPrivateDestinations(file)).toThrow(message);
    });
  }

  test("a file that is not there stops the start", ({ folder }) => {
    expect(() => readPrivateDestinations(join(folder, "none.json"))).toThrow("cannot be read");
  });
});
