import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { orgRoles } from "../../services/control-plane/runtime/ecs/roles.ts";
import { taskDefinition } from "../../services/control-plane/runtime/ecs/task-definition.ts";
import { parseCell } from "../../services/shared/aws/cell.ts";
import { ORG_ROLE_PATH, orgNames } from "../../services/shared/aws/names.ts";
import type { InstanceSpec } from "../../services/shared/instance-spec.ts";
import { orgParameters } from "../../services/shared/parameters/store.ts";
import { ACCOUNT, awsEnvironment, REGION } from "../harness/aws/cell.ts";
import { describeOnAws } from "../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../harness/aws/moto.ts";
import { isAllowed, malformed, type PolicyDocument, roleOf } from "./iam.ts";
import { mutantsOf } from "./mutants.ts";
import { cellPolicies, faults, neverUses, orgIds, PARTS, usesOf } from "./org-battery.ts";
import { makeRoles } from "./runtime-roles.ts";
import { synthesize } from "./synthesized.ts";

const { deployment } = synthesize();
const policies = cellPolicies(deployment);
const ORGS = orgIds(20);
const FEW = ORGS.slice(0, 3);

/** An instance with the secrets that every organization's has. */
function instanceOf(org: string): InstanceSpec {
  const { unsealToken, certificate, key } = orgParameters("/strongroom", org);
  return {
    org,
    attempt: 1,
    listen: "{address}:8200",
    config: {},
    environment: {},
    secrets: [
      { environment: "VAULT_TOKEN", parameter: unsealToken },
      { file: "tls/certificate.pem", parameter: certificate },
      { file: "tls/key.pem", parameter: key },
    ],
    restart: 0,
    reload: 0,
  };
}

describe("organizations' roles, evaluated as IAM does", () => {
  test("20 × 20: each opens its own organization's things and no other's, in every view", () => {
    expect([...faults(policies, ORGS)]).toEqual([]);
  });

  test("open no more while a key is being replaced: own parameters, under the new key and the old one", () => {
    const arn = `arn:aws:kms:${REGION}:${ACCOUNT}:key/11111111-1111-1111-1111-111111111111`;
    const replacing = cellPolicies(synthesize({ retiredParameterKeys: [arn] }).deployment);
    expect([...faults(replacing, FEW)]).toEqual([]);
    const old = { ...replacing.parameterKey, arn };
    expect([...faults({ ...replacing, parameterKey: old }, FEW)]).toEqual([]);
  });

  test("are made of policies and requests that AWS takes", async () => {
    const [org = ""] = ORGS;
    const { execution, task, boundary } = policies;
    const arn = `arn:aws:iam::${ACCOUNT}:role${ORG_ROLE_PATH}${orgNames(org).executionRole}`;
    const principal = { arn, tags: { org }, policies: [execution, task], boundary };
    // It knows no encryption context, so the answer is the other simulation's.
    for (const { keyPolicy, ...use } of [...usesOf(org, policies), ...neverUses(policies, org)])
      expect(await malformed(principal, use)).toBeUndefined();
  });
});

describeOnAws("the roles that the runtime makes", () => {
  let moto: MotoServer;
  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
    for (const [name, value] of Object.entries(awsEnvironment(moto.endpoint))) vi.stubEnv(name, value);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await moto?.stop();
  });

  test("open what their organization's task definition names, and nothing of another's", async () => {
    const { properties } = deployment.resource(
      "StrongroomServices",
      "AWS::ECS::TaskDefinition",
      "ControlPlane",
    );
    const cell = parseCell(
      properties.ContainerDefinitions[0].Environment.find(
        ({ Name }: { Name: string }) => Name === "STRONGROOM_CELL",
      ).Value,
      "STRONGROOM_CELL",
    );
    for (const org of FEW) {
      const roles = await makeRoles(moto.endpoint, cell, policies, org);
      for (const owner of FEW) {
        for (const use of usesOf(owner, policies)) {
          for (const kind of ["execution", "task"] as const) {
            const isRight = isAllowed(roles[kind], use) === (owner === org && use.for === kind);
            expect({ org, kind, owner, use, isRight }).toMatchObject({ isRight: true });
          }
        }
      }
      const definition = taskDefinition(cell, orgRoles(cell, org), instanceOf(org));
      expect(definition.executionRoleArn).toBe(roles.execution.arn);
      expect(definition.taskRoleArn).toBe(roles.task.arn);
      const named =
        definition.containerDefinitions?.[0]?.secrets?.map(({ valueFrom = "" }) => valueFrom) ?? [];
      expect(named.length).toBe(3);
      for (const resource of named) {
        expect(isAllowed(roles.execution, { action: "ssm:GetParameters", resource })).toBe(true);
      }
    }
  });
});

describe("a mistake in one place of a policy is found", () => {
  const cases = PARTS.flatMap((part) =>
    mutantsOf(policies[part]).map(
      ({ what, document }) => [`${part} ${what}`, part, { ...policies, [part]: document }] as const,
    ),
  );

  test("of which there are many", () => expect(cases.length).toBeGreaterThan(60));

  test.each(cases)("%s", (_, part, mutant) => {
    expect(faults(mutant, FEW, [part]).next().value).toBeDefined();
  });
});

describe("the keys' own policies", () => {
  const [org = ""] = ORGS;
  const everything: PolicyDocument = {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
  };
  const administrator = {
    arn: `arn:aws:iam::${ACCOUNT}:role/Administrator`,
    tags: { org },
    policies: [everything],
  };
  const [decrypt] = usesOf(org, policies).filter(
    ({ action, for: kind }) => kind === "execution" && action === "kms:Decrypt",
  );

  test("let no administrator decrypt an organization's parameter, even with its tag", () => {
    if (!decrypt) throw new Error("nothing is decrypted");
    expect(isAllowed(administrator, decrypt)).toBe(false);
    const { keyPolicy = everything } = decrypt;
    const loosened = {
      ...keyPolicy,
      Statement: keyPolicy.Statement.filter(({ Effect }) => Effect === "Allow"),
    };
    expect(isAllowed(administrator, { ...decrypt, keyPolicy: loosened })).toBe(true);
  });

  test("let the internal Vault alone use its seal", () => {
    const { arn, properties } = deployment.resource("StrongroomInternalVault", "AWS::KMS::Key", "SealKey");
    const unseal = { action: "kms:Decrypt", resource: arn, keyPolicy: properties.KeyPolicy };
    expect(isAllowed(administrator, unseal)).toBe(false);
    expect(isAllowed(roleOf(deployment, "strongroom-internal-vault"), unseal)).toBe(true);
    expect(isAllowed(roleOf(deployment, "strongroom-control-plane"), unseal)).toBe(false);
  });
});
