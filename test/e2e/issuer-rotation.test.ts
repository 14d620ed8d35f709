import { expect, onTestFinished } from "vitest";
import { changeIssuerKeys } from "../../services/shared/vault/jwt-validation-keys.ts";
import { test } from "../harness/fixtures.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";
import { compact, newPair, publicPem, type SigningPair, type TestIssuer } from "../harness/tokens.ts";
import type { InternalVault, OrgVault } from "../harness/vault.ts";

let internal: InternalVault;
let issuer: TestIssuer;
let orgs: OrgVault[];
let gateway: TestGateway;
test.beforeAll(({ servedOrgs }) => {
  ({ internal, issuer, orgs, gateway } = servedOrgs);
});

/** What `strongroom issuer rotate` does. */
async function rotate(finish: boolean): Promise<void> {
  const keys = issuer.keys.map(publicPem);
  for (const each of orgs)
    await changeIssuerKeys(await internal.maintain(each), issuer.issuer, keys, { finish });
}

let people = 0;
/** One read with a token of its own, so that its Vault has to check the signature. */
async function read(signer: SigningPair, claim: string): Promise<number> {
  const claims = issuer.claims({ sub: `p-${++people}`, org_id: claim });
  const token = compact({ alg: "RS256", typ: "JWT", kid: signer.kid }, claims, signer);
  return (await gateway.call("GET", "/v1/secret/metadata?list=true", { token })).status;
}

test("{old}, {old, new}, {new}: no read fails, at any organization", { timeout: 120_000 }, async () => {
  const [old, next] = [issuer.pair, newPair("RS256")];
  let signer = old;
  let isOver = false;
  const statuses = new Map<number, number>();
  const reading = orgs.map(async ({ settings }) => {
    while (!isOver) {
      const status = await read(signer, settings.claim);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  });

  // Each is a person's first, which its Vault writes to its disk: how long that takes is the machine's.
  const moreReads = (before: number) =>
    expect.poll(() => people, { timeout: 30_000 }).toBeGreaterThan(before + 50);
  await moreReads(0);
  issuer.keys = [old, next]; // the issuer shows its next key, and signs by the old one
  await rotate(false);
  // A gateway looks for a key that is new to it at most every 30 s; an issuer shows one for longer before its use.
  const probe = () => read(next, "org_acme");
  await expect.poll(probe, { timeout: 60_000, interval: 500 }).toBe(404);
  signer = next;
  await moreReads(people);

  issuer.keys = [next]; // no token by the old key is left
  await rotate(true);
  await moreReads(people);
  isOver = true;
  await Promise.all(reading);
  expect([...statuses.keys()]).toEqual([404]); // let in, and nothing is there

  // The gateway may still know the old key, which its issuer no longer shows; the Vaults do not.
  for (const { settings } of orgs) expect(await read(old, settings.claim)).toBe(403);
});

test("a key that no operator approved opens nothing, though the issuer shows it", async () => {
  const { org, endpoint, settings } = orgs[0] as OrgVault;
  const slipped = newPair("RS256");
  const token = compact({ alg: "RS256", typ: "JWT", kid: slipped.kid }, issuer.claims(), slipped);
  issuer.keys = [...issuer.keys, slipped];
  // A new one, which fetches the issuer's keys anew.
  const gateway = await startGateway({
    issuers: [issuer],
    ca: internal.ca,
    orgs: [{ id: org, claim: settings.claim, address: endpoint.address }],
  });
  onTestFinished(() => gateway.close());
  expect((await gateway.call("GET", "/v1/secret/data/x", { token })).status).toBe(403);
});
