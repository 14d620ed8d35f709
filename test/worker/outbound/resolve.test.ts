import { describe, expect, test } from "vitest";
import { isPublicAddress, isSameAddress } from "../../../services/worker/outbound/public-address.ts";
import { publicAddresses } from "../../../services/worker/outbound/resolve.ts";

describe("the addresses of a name", () => {
  test("are returned, IPv4 first", async () => {
    const resolve = async () => ["2606:4700::1111", "1.1.1.1", "2606:4700::1", "1.0.0.1"];
    expect(await publicAddresses("a.example", resolve)).toEqual([
      ...["1.1.1.1", "1.0.0.1", "2606:4700::1111", "2606:4700::1"],
    ]);
  });

  test("that are none, or cannot be asked for, may be there later", async () => {
    const failing = async () => {
      throw new Error("no name server");
    };
    for (const resolve of [async () => [], failing]) {
      await expect(publicAddresses("a.example", resolve)).rejects.toMatchObject({
        failure: "unreachable",
        isTransient: true,
      });
    }
  });
});

test("the same address in another spelling is the same", () => {
  expect(isSameAddress("2606:4700:0:0:0:0:0:1", "2606:4700::1")).toBe(true);
  expect(isSameAddress("1.1.1.1", "1.1.1.2")).toBe(false);
  expect(isSameAddress("1.1.1.1", "::ffff:1.1.1.1")).toBe(false);
  expect(isSameAddress("", "")).toBe(false);
  expect(isPublicAddress("1.1.1.1")).toBe(true);
});
