import { expect, test } from "vitest";
import { MachineCallers, presented } from "../../services/gateway/machine-callers.ts";
import type { DirectoryOrg, LoadedDirectory } from "../../services/shared/directory/load.ts";

const ORG = "oaaaaaaaaaaaaaaa";
const VAULT_TOKEN = `hvs.${"A".repeat(90)}`;
const TOKEN = presented(ORG, VAULT_TOKEN);

function directory(machineTokens = true): LoadedDirectory {
  const org: DirectoryOrg = { id: ORG, issuer: "i", claim: "c", address: "https://x:1" };
  if (machineTokens) org.machineTokens = true;
  return {
    version: 1,
    issuers: [],
    orgs: [org],
    find: () => org,
    byId: (id) => (id === ORG ? org : undefined),
  };
}

test.each([
  "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
  VAULT_TOKEN,
  `${ORG}.`,
  `${ORG}.hvb.${"A".repeat(90)}`,
  `${ORG}.root`,
  `${ORG}.hvs.short`,
  `${ORG}.hvs.${"A".repeat(300)}`,
  `${ORG}.hvs.${"A".repeat(40)}.x`,
  `${ORG}.hvs.${"A".repeat(40)}/x`,
  `${ORG}x.hvs.${"A".repeat(40)}`,
  `${ORG.toUpperCase()}.hvs.${"A".repeat(40)}`,
  ` ${TOKEN}`,
  `x${TOKEN}`,
  `${TOKEN} `,
  `${TOKEN}\n`,
  `${TOKEN}.`,
  `x\n${TOKEN}`,
  `${ORG.slice(1)}.hvs.${"A".repeat(40)}`,
  `${ORG}a.hvs.${"A".repeat(40)}`,
  `${ORG.slice(0, -1)}1.hvs.${"A".repeat(40)}`,
  `${ORG}.hvs.${"A".repeat(23)}`,
  `${ORG}.hvs.${"A".repeat(257)}`,
])("%s is no machine's token", (token) => {
  expect(new MachineCallers().isMachines(token)).toBe(false);
});

test.each([24, 256])("a machine's token has %i characters at its bound", (length) => {
  expect(new MachineCallers().isMachines(`${ORG}.hvs.${"A".repeat(length)}`)).toBe(true);
});

test("of ten thousand organizations it is known how many they made, and the one known for longest is forgotten", () => {
  const machines = new MachineCallers();
  for (let i = 0; i < 50; i++) machines.countMade(ORG, 0);
  for (let i = 0; i < 9_999; i++) machines.countMade(`org-${i}`, 0);
  expect(() => machines.countMade(ORG, 0)).toThrow("Too many requests");
  machines.countMade("one more", 0);
  machines.countMade(ORG, 0);
});

test("a token that its Vault has taken is known for a minute, or until the Vault takes it no more", () => {
  const machines = new MachineCallers();
  const [one, other] = [{ key: "a" }, { key: "b" }];
  expect(machines.isKnown(one, 0)).toBe(false);
  machines.note(one, true, 0);
  expect(machines.isKnown(one, 59_999)).toBe(true);
  expect(machines.isKnown(other, 0)).toBe(false);
  expect(machines.isKnown(one, 60_000)).toBe(false);
  machines.note(one, true, 60_000);
  machines.note(one, false, 60_001);
  expect(machines.isKnown(one, 60_002)).toBe(false);
});

test("ten thousand tokens are known, and the one known for longest is forgotten", () => {
  const machines = new MachineCallers();
  for (let i = 0; i < 10_000; i++) machines.note({ key: `${i}` }, true, 0);
  machines.note({ key: "0" }, true, 0);
  expect(machines.size).toBe(10_000);
  machines.note({ key: "one more" }, true, 0);
  expect(machines.size).toBe(10_000);
  expect([machines.isKnown({ key: "0" }, 1), machines.isKnown({ key: "1" }, 1)]).toEqual([true, false]);
});

test("the id selects the organization, and the rest is what its Vault is asked with", () => {
  const machines = new MachineCallers();
  expect(machines.isMachines(TOKEN)).toBe(true);
  const caller = machines.admit(TOKEN, "10.0.0.1", directory());
  expect(caller.org.id).toBe(ORG);
  expect(caller.token.reveal()).toBe(VAULT_TOKEN);
  expect(caller.subjectHash).toMatch(/^[0-9a-f]{16}$/);
});

test("an organization that has none, and one that nobody knows, are refused alike", () => {
  const machines = new MachineCallers();
  const stranger = presented("obbbbbbbbbbbbbbb", VAULT_TOKEN);
  for (const [token, where] of [
    [TOKEN, directory(false)],
    [stranger, directory()],
    [`${TOKEN}.`, directory()],
  ] as const) {
    expect(() => machines.admit(token, "a", where, 0)).toThrow(
      expect.objectContaining({ message: "This needs a valid token.", reason: "machine_token" }),
    );
  }
});

test("so many of one address, so many of an organization; a second later there are more", () => {
  const machines = new MachineCallers();
  const count = (address: (i: number) => string, now: number) => {
    let admitted = 0;
    for (let i = 0; i < 500; i++) {
      try {
        machines.admit(TOKEN, address(i), directory(), now);
        admitted++;
      } catch (error) {
        expect(error).toMatchObject({ code: "too_many_requests", cause: "org" });
      }
    }
    return admitted;
  };
  expect(count(() => "10.0.0.1", 0)).toBe(20);
  expect(count((i) => `10.0.1.${i}`, 0)).toBe(80);
  expect(count(() => "10.0.0.1", 99.5)).toBe(0);
  expect(count(() => "10.0.0.1", 1_000)).toBe(10);
  expect(count((i) => `10.0.2.${i}`, 1_000)).toBe(40);
});

test("so many are made for an organization, and none more until some seconds later", () => {
  const machines = new MachineCallers();
  for (let i = 0; i < 50; i++) machines.countMade(ORG, 0);
  const tooMany = expect.objectContaining({ code: "too_many_requests", cause: "org" });
  for (const now of [0, 4_999.5]) expect(() => machines.countMade(ORG, now)).toThrow(tooMany);
  machines.countMade("obbbbbbbbbbbbbbb", 0);
  machines.countMade(ORG, 5_000);
  expect(() => machines.countMade(ORG, 5_000)).toThrow("Too many requests");
});
