import { describe, expect, test } from "vitest";
import { readSettings } from "../../infra/cdk/settings.ts";
import { givenSettings } from "./synthesized.ts";

describe("the context strongroom", () => {
  test("gets its defaults", () => {
    expect(readSettings(givenSettings())).toMatchObject({
      parameterPrefix: "/strongroom",
      gateways: 3,
      // Until all stacks have been created once; who does not say so is protected.
      isProtected: false,
      orgs: {},
    });
  });

  test("protects what is there, unless told otherwise", () => {
    const { isProtected: _, ...others } = givenSettings();
    expect(readSettings(others).isProtected).toBe(true);
  });

  test.each([
    ["nothing", undefined, "internalDomain"],
    ["two zones", { zones: ["eu-central-1a", "eu-central-1b"] }, "/zones"],
    ["one zone three times", { zones: Array(3).fill("eu-central-1a") }, "/zones"],
    ["a Region for a zone", { zones: ["eu-central-1", "eu-central-2", "eu-central-3"] }, "/zones/0"],
    ["no certificate", { certificateArn: "vault.example.com" }, "/certificateArn"],
    ["an unknown name", { vaultVersion: "1.21.1" }, "vaultVersion"],
    ["Vault's image without a digest", { vaultImage: "1.21.1" }, "/vaultImage"],
    ["the services' image without a digest", { servicesImage: "0.1.0" }, "/servicesImage"],
    ["half a digest", { servicesImage: "0.1.0@sha256:abc" }, "/servicesImage"],
    ["one gateway", { gateways: 1 }, "/gateways"],
    ["an unknown architecture", { orgs: { architecture: "MIPS" } }, "/orgs/architecture"],
  ])("with %s is refused, and the reason names it", (_, change, reason) => {
    const given = change === undefined ? undefined : { ...givenSettings(), ...change };
    expect(() => readSettings(given)).toThrow(reason);
  });
});
