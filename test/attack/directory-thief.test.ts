import { createPublicKey, randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { DIRECTORY_TYP } from "../../services/shared/directory/directory.ts";
import { OWNERSHIP_TYP } from "../../services/shared/directory/ownership.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { signOwnership } from "../../services/shared/registry/owners.ts";
import { REVOCATIONS_TYP } from "../../services/shared/revocations/revocations.ts";
import { signCompactJws } from "../../services/shared/vault/transit.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";
import { type Recorder, startRecorder } from "../harness/recorder.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

/**
 * Whoever holds the control plane's login signs directories and has certificates signed for any organization's
 * name. Here they want the tokens of acme's people: each directory of theirs is soundly signed.
 */

let internal: InternalVault;
let issuer: TestIssuer;
let acme: Recorder;
let thief: Recorder;
let gateway: TestGateway;
beforeAll(async () => {
  [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  acme = await startRecorder(internal);
  // By the thief's own hands: a certificate of acme's name, by the organizations' authority, of the thief's key.
  thief = await startRecorder(internal, acme.org);
  gateway = await startThiefsGateway();
});
afterAll(async () => {
  await gateway?.close();
  await Promise.all([acme?.close(), thief?.close(), issuer?.close()]);
  await internal?.stop();
});

/** The thief's own signature: the control plane's login has anything signed by the directory's key. */
const sign = (typ: string) => (value: unknown) =>
  signCompactJws(internal.controlPlane, "directory", { typ }, value as object);

/** A gateway that knows acme, and from now on takes its directories from the thief. */
const startThiefsGateway = () =>
  startGateway({
    issuers: [issuer],
    ca: internal.ca,
    orgs: [entry()],
    directoryKey: {
      keys: {
        directory: createPublicKey(internal.directoryKey),
        ownership: createPublicKey(internal.ownershipKey),
      },
      sign: sign(DIRECTORY_TYP),
      signRevocations: sign(REVOCATIONS_TYP),
    },
  });

const entry = () => ({
  id: acme.org,
  claim: "org_acme",
  address: acme.address,
  serverKey: acme.serverKey,
});
const read = () =>
  gateway.call("GET", "/v1/secret/data/app/db", { token: issuer.token({ sub: randomUUID() }) });

test("the thief's script: no token of a living organization's people comes to its server", async () => {
  expect((await read()).status).toBe(200);
  const { serverKey: _, ...unkeyed } = entry();

  await gateway.publish([{ ...entry(), address: thief.address, serverKey: thief.serverKey }]);
  expect(gateway.directory.refusal).toBe("key_changed");
  expect((await read()).status).toBe(200);

  await gateway.publish([{ ...unkeyed, address: thief.address }]);
  expect(gateway.directory.refusal).toBe("key_changed");
  expect((await read()).status).toBe(200);

  await gateway.publish([{ ...entry(), id: newOrgId(), address: thief.address, serverKey: thief.serverKey }]);
  expect(gateway.directory.refusal).toBe("pair_moved");
  expect((await read()).status).toBe(200);

  // Read by another claim, the tokens of acme's people would belong to an organization of the thief's.
  const other = { ...entry(), id: newOrgId(), address: thief.address, serverKey: thief.serverKey };
  await gateway.publish([entry(), { ...other, claim: "reader" }], {
    issuers: [{ ...issuer.issuer, orgClaim: issuer.issuer.groupsClaim }],
  });
  expect(gateway.directory.refusal).toBe("org_claim_changed");
  expect((await read()).status).toBe(200);

  // Left out, and back with another key a version later.
  await gateway.publish([]);
  expect((await read()).status).toBe(403);
  await gateway.publish([{ ...entry(), address: thief.address, serverKey: thief.serverKey }]);
  expect(gateway.directory.refusal).toBe("key_changed");
  expect((await read()).status).toBe(503);

  // The key that it had, at the thief's address: the thief's server cannot show it.
  await gateway.publish([{ ...entry(), address: thief.address }]);
  expect(gateway.directory.refusal).toBeUndefined();
  expect((await read()).status).toBe(503);
  expect(thief.connections).toBe(1);
  expect(thief.requests).toEqual([]);

  await gateway.publish([entry()]);
  expect((await read()).status).toBe(200);
});

test("the thief's script: strangers named as acme's people do not come to acme's Vault", async () => {
  const gateway = await startThiefsGateway();
  const readAs = async (claim: string) => {
    const token = issuer.token({ sub: randomUUID(), org_id: claim });
    const before = acme.requests.length;
    const { status } = await gateway.call("GET", "/v1/secret/data/app/db", { token });
    return { status, reached: acme.requests.length > before };
  };
  const served = { status: 200, reached: true };
  const ownership = { org: acme.org, issuer: issuer.issuer.issuer, claim: "org_eve", serial: 9 };
  try {
    await expect(signOwnership(internal.controlPlane, ownership)).rejects.toMatchObject({ status: 403 });
    const operator = await internal.operator();
    for (const statement of [
      undefined,
      await sign(OWNERSHIP_TYP)(ownership),
      // Operators' own, of other things: another organization of the thief's, and acme as it is.
      await signOwnership(operator, { ...ownership, org: newOrgId() }),
      await signOwnership(operator, { ...ownership, claim: "org_acme" }),
    ]) {
      await gateway.publish([{ ...entry(), claim: "org_eve", ...(statement && { statement }) }]);
      expect(gateway.directory.refusal).toBe("owner_unproven");
      expect(await readAs("org_eve")).toEqual({ status: 503, reached: false });
      expect(await readAs("org_acme")).toEqual(served);
    }

    // An operator gives acme to ajax and takes it back; the statement that was good in between is so no more.
    const ajax = await signOwnership(operator, { ...ownership, claim: "org_ajax", serial: 2 });
    const again = await signOwnership(operator, { ...ownership, claim: "org_acme", serial: 3 });
    await gateway.publish([{ ...entry(), claim: "org_ajax", statement: ajax }]);
    expect(gateway.directory.refusal).toBeUndefined();
    expect(await readAs("org_ajax")).toEqual(served);
    expect(await readAs("org_acme")).toEqual({ status: 403, reached: false });
    await gateway.publish([{ ...entry(), statement: again }]);
    expect(await readAs("org_acme")).toEqual(served);
    for (const statement of [ajax, undefined]) {
      const claim = statement ? "org_ajax" : "org_acme";
      await gateway.publish([{ ...entry(), claim, ...(statement && { statement }) }]);
      expect(gateway.directory.refusal).toBe("owner_unproven");
      expect(await readAs("org_ajax")).toEqual({ status: 503, reached: false });
      expect(await readAs("org_acme")).toEqual(served);
    }
  } finally {
    await gateway.close();
  }
});

test("what is left to the thief is to have the organization deleted, which each gateway says", async () => {
  const next = { ...entry(), id: newOrgId(), address: thief.address, serverKey: thief.serverKey };
  await gateway.publish([next], { deleted: [acme.org] });
  expect(gateway.directory.current?.byId(acme.org)).toBeUndefined();
  expect(gateway.log()).toContainEqual(
    expect.objectContaining({ level: 40, moved: [{ from: acme.org, to: next.id }] }),
  );
});
