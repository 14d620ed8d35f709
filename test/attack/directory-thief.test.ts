import { createPublicKey, randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { DIRECTORY_TYP } from "../../services/shared/front/published/directory.ts";
import { REVOCATIONS_TYP } from "../../services/shared/front/published/revocations.ts";
import { newOrgId } from "../../services/shared/org.ts";
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
  const sign = (typ: string) => (value: unknown) =>
    signCompactJws(internal.controlPlane, "directory", { typ }, value as object);
  gateway = await startGateway({
    issuers: [issuer],
    ca: internal.ca,
    orgs: [entry()],
    directoryKey: {
      publicKey: createPublicKey(internal.directoryKey),
      sign: sign(DIRECTORY_TYP),
      signRevocations: sign(REVOCATIONS_TYP),
    },
  });
});
afterAll(async () => {
  await gateway?.close();
  await Promise.all([acme?.close(), thief?.close(), issuer?.close()]);
  await internal?.stop();
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

test("what is left to the thief is to have the organization deleted, which each gateway says", async () => {
  const next = { ...entry(), id: newOrgId(), address: thief.address, serverKey: thief.serverKey };
  await gateway.publish([next], { deleted: [acme.org] });
  expect(gateway.directory.current?.byId(acme.org)).toBeUndefined();
  expect(gateway.log()).toContainEqual(
    expect.objectContaining({ level: 40, moved: [{ from: acme.org, to: next.id }] }),
  );
});
