import { Value } from "typebox/value";
import { expect, test } from "vitest";
import { newOrgId } from "../../../services/shared/org.ts";
import { newJobId, type OrgRecord } from "../../../services/shared/registry/records.ts";
import { OrgView, orgView } from "../../../services/shared/registry/views.ts";

const record: OrgRecord = {
  id: newOrgId(),
  name: "acme",
  claim: "org_acme",
  issuer: {
    issuer: "https://auth.strongroom.test/",
    audience: "https://strongroom.test/api",
    jwksUri: "http://127.0.0.1:1/jwks",
    algorithms: ["RS256"],
    orgClaim: "org_id",
    groupsClaim: "groups",
  },
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
