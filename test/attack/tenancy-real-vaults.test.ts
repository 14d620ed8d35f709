import { randomUUID } from "node:crypto";
import { afterAll, expect } from "vitest";
import { test as base, PER_FILE } from "../harness/fixtures.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";
import { newPair, type TestIssuer } from "../harness/tokens.ts";
import type { OrgVault } from "../harness/vault.ts";
import { randomFrom } from "./corpus/tenancy-model.ts";

const WHOLE = process.env.ATTACK === "whole";
const SEED = Number(process.env.TENANCY_SEED ?? Math.floor(Math.random() * 2 ** 32));
const RUNS = WHOLE ? 5_000 : 400;
const NAMES = ["acme", "globex"] as const;
type Name = (typeof NAMES)[number];

const test = base.extend("issuerPair", PER_FILE, () => newPair("ES256"));

let issuer: TestIssuer;
let orgs: Record<Name, OrgVault>;
let gateway: TestGateway;

test.beforeAll(async ({ org: { internal, issuer: started, acme }, otherOrg: globex }) => {
  issuer = started;
  orgs = { acme, globex };
  const list = NAMES.map((name) => ({
    ...{ id: orgs[name].org, claim: `org_${name}`, address: orgs[name].endpoint.address },
  }));
  gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs: list, maxLogins: 10 });
  for (const name of NAMES) {
    const body = { data: { whose: name } };
    const token = issuer.token({ org_id: `org_${name}`, [issuer.issuer.groupsClaim]: ["writer"] });
    expect((await gateway.call("POST", "/v1/secret/data/shared/name", { token, body })).status).toBe(200);
  }
});
afterAll(() => gateway?.close());

test(`one path, one person, two organizations: ${RUNS} reads and writes, none crossed`, {
  timeout: 300_000,
}, async () => {
  const random = randomFrom(SEED);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const tokens: { name: Name; text: string }[] = [];
  let crossed = 0;
  for (let runs = 0; runs < RUNS; ) {
    const batch = Array.from({ length: 1 + Math.floor(random() * 10) }, async () => {
      const name = pick(NAMES);
      const made = { org_id: `org_${name}`, jti: randomUUID(), [issuer.issuer.groupsClaim]: ["writer"] };
      const fresh = () => {
        const each = { name, text: issuer.token({ sub: "ada", ...made }) };
        tokens.push(each);
        return each;
      };
      const caller = random() < 0.3 || tokens.length === 0 ? fresh() : pick(tokens.slice(-20));
      const body = { data: { whose: caller.name } };
      const written =
        random() < 0.3 &&
        (await gateway.call("POST", "/v1/secret/data/shared/name", { token: caller.text, body }));
      if (written) expect(written.status).toBe(200);
      const read = await gateway.call("GET", "/v1/secret/data/shared/name", { token: caller.text });
      expect(read.status).toBe(200);
      if ((read.json.data?.data as { whose: string }).whose !== caller.name) crossed++;
    });
    await Promise.all(batch);
    runs += batch.length;
  }
  process.stdout.write(`tenancy at real Vaults: ${RUNS} tried, ${crossed} crossed\n`);
  expect(crossed, `TENANCY_SEED=${SEED}`).toBe(0);
});
