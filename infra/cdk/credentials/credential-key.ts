import { Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { AccountPrincipal, PolicyDocument, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { Key } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";
import type { Purpose } from "../../../services/shared/work/kinds.ts";
import { boundContext } from "./bound-context.ts";
import { intakeRole, platformRoleArn, workerService } from "./names.ts";
import type { CredentialSettings } from "./settings.ts";

export const PENDING_DAYS = 30;

/**
 * What administrators of the account may do by their own policies: everything but use the key, or grant its use.
 * Whoever may change the key policy can undo that, which CloudTrail records.
 */
export const ADMINISTRATION = [
  "kms:DescribeKey",
  "kms:GetKeyPolicy",
  "kms:GetKeyRotationStatus",
  "kms:ListGrants",
  "kms:ListKeyPolicies",
  "kms:ListKeyRotations",
  "kms:ListResourceTags",
  "kms:PutKeyPolicy",
  "kms:UpdateKeyDescription",
  "kms:EnableKey",
  "kms:DisableKey",
  "kms:EnableKeyRotation",
  "kms:RotateKeyOnDemand",
  "kms:RevokeGrant",
  "kms:TagResource",
  "kms:UntagResource",
  "kms:ScheduleKeyDeletion",
  "kms:CancelKeyDeletion",
];

/**
 * The key that wraps the data keys of one kind's credentials. Its policy is complete: no IAM policy adds a use, and
 * nobody may create a grant. The roles are named in conditions, since KMS refuses a policy whose principals do not
 * exist yet, and would keep the ID of a role that was deleted.
 */
export function credentialKey(
  scope: Construct,
  id: string,
  kind: Purpose,
  settings: CredentialSettings,
): Key {
  const stack = Stack.of(scope);
  const intake = intakeRole(stack, settings);
  const only = (role: string) => ({ ...boundContext(kind), ArnEquals: { "aws:PrincipalArn": role } });
  return new Key(scope, id, {
    description: `Strongroom: data keys of credentials, kind ${kind}`,
    enableKeyRotation: true,
    pendingWindow: Duration.days(PENDING_DAYS),
    removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    policy: new PolicyDocument({
      statements: [
        new PolicyStatement({
          sid: "Administration",
          principals: [new AccountPrincipal(stack.account)],
          actions: ADMINISTRATION,
          resources: ["*"],
        }),
        new PolicyStatement({
          sid: "IntakeMakesDataKeys",
          principals: [new AccountPrincipal(intake.account)],
          actions: ["kms:GenerateDataKey"],
          resources: ["*"],
          conditions: only(intake.arn),
        }),
        new PolicyStatement({
          sid: "WorkerOpensDataKeys",
          principals: [new AccountPrincipal(stack.account)],
          // It makes data keys too: for the private halves of sealing keys, and to seal credentials anew.
          actions: ["kms:Decrypt", "kms:GenerateDataKey"],
          resources: ["*"],
          conditions: only(platformRoleArn(stack, `strongroom-${workerService(kind)}`)),
        }),
      ],
    }),
  });
}
