import { describe, expect, test } from "vitest";
import { orgTable } from "../../services/shared/aws/names.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { ACCOUNT } from "../harness/aws/cell.ts";
import { isAllowed, type Request, roleOf } from "./iam.ts";
import { cellPolicies, parameterArn, tableArn, usesOf } from "./org-battery.ts";
import { synthesize } from "./synthesized.ts";

const { deployment } = synthesize();
const policies = cellPolicies(deployment);
const org = newOrgId();
const roleNames = deployment
  .resources("AWS::IAM::Role")
  .map(({ properties }) => properties.RoleName as string);
const named = roleNames.filter((name) => name !== undefined);

const tables: Request[] = [
  "GetItem",
  "BatchGetItem",
  "Query",
  "Scan",
  "PutItem",
  "ExportTableToPointInTime",
  "CreateBackup",
  "RestoreTableToPointInTime",
  "StartAwsBackupJob",
].map((action) => ({ action: `dynamodb:${action}`, resource: tableArn(orgTable(org, 1)) }));

describe("roles of the platform", () => {
  test("are these, and one for each network that writes flow logs", () => {
    expect(named.toSorted()).toEqual([
      "strongroom-backup",
      "strongroom-control-plane",
      "strongroom-control-plane-execution",
      "strongroom-gateway",
      "strongroom-gateway-execution",
      "strongroom-intake",
      "strongroom-intake-execution",
      "strongroom-internal-vault",
      "strongroom-internal-vault-execution",
      "strongroom-operator",
      "strongroom-operator-execution",
      ...["broker", "feed", "integration", "webhook"].map((kind) => `strongroom-redrive-${kind}`),
      ...["broker", "feed", "integration", "webhook"].flatMap((kind) => [
        `strongroom-worker-${kind}`,
        `strongroom-worker-${kind}-execution`,
      ]),
    ]);
    expect(roleNames.length).toBe(named.length + 5);
  });

  test.each(named)("%s: opens nothing of an organization's", (name) => {
    const role = roleOf(deployment, name);
    const opened = usesOf(org, policies)
      .filter(({ action }) => !action.startsWith("logs:"))
      .filter((use) => isAllowed(role, use))
      .map(({ action, context }) => [action, context?.["kms:ViaService"]]);
    // To make and to copy tables takes their key, through DynamoDB; it opens nothing without their items.
    const isForTables = ["strongroom-control-plane", "strongroom-backup"].includes(name);
    const throughTables = ["kms:Decrypt", "dynamodb.eu-central-1.amazonaws.com"];
    expect(opened).toEqual(isForTables ? [throughTables, throughTables] : []);
  });

  test("the backup job alone copies a table, and reads nothing in it", () => {
    const able = named.flatMap((name) =>
      tables
        .filter((request) => isAllowed(roleOf(deployment, name), request))
        .map(({ action }) => `${name} ${action}`),
    );
    expect(able).toEqual(["strongroom-backup dynamodb:StartAwsBackupJob"]);
  });

  test("the gateway's, running and starting, read no parameter and use no key", () => {
    const keys = deployment.resources("AWS::KMS::Key");
    const requests: Request[] = [
      ...["unseal-token", "tls-key"].map((name) => parameterArn(`/strongroom/orgs/${org}/${name}`)),
      ...["ca", "directory-key", "ownership-key", "control-plane/secret-id", "internal-vault/tls-key"].map(
        (name) => parameterArn(`/strongroom/platform/${name}`),
      ),
    ].flatMap((resource) =>
      ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory"].map(
        (action) => ({ action, resource }),
      ),
    );
    const uses = keys.flatMap(({ arn, properties }) =>
      ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"].map((action) => ({
        action,
        resource: arn,
        keyPolicy: properties.KeyPolicy,
      })),
    );
    for (const name of ["strongroom-gateway", "strongroom-gateway-execution"]) {
      const role = roleOf(deployment, name);
      expect([...requests, ...uses].filter((request) => isAllowed(role, request))).toEqual([]);
    }
    expect(roleOf(deployment, "strongroom-gateway").policies).toEqual([]);
    // The same questions find something where there is something to find.
    const secretId = {
      action: "ssm:GetParameters",
      resource: parameterArn("/strongroom/platform/control-plane/secret-id"),
    };
    expect(isAllowed(roleOf(deployment, "strongroom-control-plane-execution"), secretId)).toBe(true);
  });

  test("each starting role reads its own task's secrets and nobody else's", () => {
    const definitions = deployment.resources("AWS::ECS::TaskDefinition");
    const secretsOf = (family: string): string[] =>
      definitions
        .filter(({ properties }) => properties.Family === family)
        .flatMap(({ properties }) => properties.ContainerDefinitions[0].Secrets ?? [])
        .map(({ ValueFrom }: { ValueFrom: string }) => ValueFrom);
    const all = definitions.flatMap(({ properties }) => secretsOf(properties.Family));
    expect(all.length).toBe(10);
    for (const { properties } of definitions) {
      const role = roleOf(deployment, `${properties.Family}-execution`);
      const readable = all.filter((resource) => isAllowed(role, { action: "ssm:GetParameters", resource }));
      expect(readable).toEqual(secretsOf(properties.Family));
    }
  });

  test("are assumed by AWS's services for this account alone, but for redriving, which people do", () => {
    for (const { properties } of deployment.resources("AWS::IAM::Role")) {
      for (const { Principal, Condition } of properties.AssumeRolePolicyDocument.Statement) {
        if (properties.RoleName?.startsWith("strongroom-redrive-")) {
          expect(Principal).toEqual({ AWS: `arn:aws:iam::${ACCOUNT}:root` });
          continue;
        }
        expect(Object.keys(Principal)).toEqual(["Service"]);
        if (properties.RoleName) expect(Condition?.StringEquals).toHaveProperty("aws:SourceAccount");
      }
    }
  });
});

describe("backups", () => {
  test("are daily, kept for 35 days, and cannot be removed before", () => {
    const [plan] = deployment.resources("AWS::Backup::BackupPlan");
    expect(plan?.properties.BackupPlan.BackupPlanRule).toMatchObject([
      { ScheduleExpression: "cron(0 3 * * ? *)", Lifecycle: { DeleteAfterDays: 35 } },
    ]);
    const [selection] = deployment.resources("AWS::Backup::BackupSelection");
    expect(selection?.properties.BackupSelection.Resources).toEqual([tableArn("strongroom-o*-*")]);
    const [vault] = deployment.resources("AWS::Backup::BackupVault");
    expect(vault?.properties.AccessPolicy.Statement).toMatchObject([
      { Effect: "Deny", Action: expect.arrayContaining(["backup:DeleteRecoveryPoint"]) },
    ]);
    expect(vault?.properties.EncryptionKeyArn).toBeDefined();
  });
});
