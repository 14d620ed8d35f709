import { Value } from "typebox/value";
import { expect, test } from "vitest";
import { orgView, repairCommand } from "../../../services/control-plane/api/org-view.ts";
import { newJobId, type OrgRecord } from "../../../services/control-plane/registry/records.ts";
import { OrgView } from "../../../services/shared/api/orgs.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { KEY_MISSING, KEY_TO_REMOVE } from "../../../services/shared/vault/jwt-validation-keys.ts";
import { ISSUER_ENTRY } from "../../harness/tokens.ts";

const record: OrgRecord = {
  id: newOrgId(),
  name: "acme",
  claim: "org_acme",
  issuer: ISSUER_ENTRY,
  state: "ready",
  job: newJobId(),
  attempt: 1,
  unsealTokenAccessor: "accessor-1",
  pendingTokenAccessor: "accessor-2",
  retiredTokenAccessors: ["accessor-3"],
  certificateSerial: "serial-1",
  pendingCertificateSerial: "serial-2",
  retiredCertificateSerials: ["serial-3"],
  restart: 3,
  reload: 4,
  createdAt: "2026-01-01T00:00:00.000Z",
};

test("a view has the form it is declared to have, and no accessor or serial", () => {
  const view = orgView(record, undefined);
  expect(Value.Check(OrgView, view)).toBe(true);
  expect(JSON.stringify(view)).not.toMatch(/accessor|serial/);
  expect(view).toMatchObject({ id: record.id, issuer: "https://auth.strongroom.test/", state: "ready" });
});

test("with drift comes the command that ends it", () => {
  expect(orgView(record, undefined).repair).toBeUndefined();
  expect(orgView({ ...record, drift: ["policy x is too much"] }, undefined).repair).toBe(
    `strongroom org repair ${record.id}`,
  );
});

test.each<[string[], string]>([
  [["policy x is too much"], "strongroom org repair"],
  [[`auth/jwt/config: ${KEY_MISSING}`], "strongroom issuer rotate --org"],
  [
    [`auth/jwt/config: ${KEY_MISSING}`, `auth/jwt/config: ${KEY_TO_REMOVE}`],
    "strongroom issuer rotate --org",
  ],
  [[`auth/jwt/config: ${KEY_MISSING}`, "policy x is too much"], "strongroom org repair"],
])("what mends %j", (drift, command) => {
  expect(repairCommand("oaaaaaaaaaaaaaaa", drift)).toBe(`${command} oaaaaaaaaaaaaaaa`);
});

test("a key that is left over is mended by the end of a rotation", () => {
  expect(repairCommand("oaaaaaaaaaaaaaaa", [`auth/jwt/config: ${KEY_TO_REMOVE}`])).toBe(
    "strongroom issuer rotate --org oaaaaaaaaaaaaaaa --finish",
  );
});
