import { Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { AccountPrincipal, type Conditions, PolicyDocument, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { Key, KeySpec, KeyUsage } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";
import { ADMINISTRATION, PENDING_DAYS } from "./credential-key.ts";
import { INTAKE, platformRoleArn } from "./names.ts";

/** What a signature by the key of receipts is: ES256 over the text itself. */
export const RECEIPT_SIGNATURE: Conditions = {
  StringEquals: { "kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "RAW" },
};

/**
 * The key that signs where organizations' receipts stand. The intake alone signs; who has its public key verifies without
 * AWS. KMS rotates no asymmetric key, and earlier signatures need this one.
 */
export function receiptsKeyOf(scope: Construct, id: string): Key {
  const stack = Stack.of(scope);
  const account = new AccountPrincipal(stack.account);
  const intake = { "aws:PrincipalArn": platformRoleArn(stack, `strongroom-${INTAKE}`) };
  return new Key(scope, id, {
    description: "Strongroom: checkpoints of receipts",
    keySpec: KeySpec.ECC_NIST_P256,
    keyUsage: KeyUsage.SIGN_VERIFY,
    pendingWindow: Duration.days(PENDING_DAYS),
    removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    policy: new PolicyDocument({
      statements: [
        new PolicyStatement({
          sid: "Administration",
          principals: [account],
          actions: ADMINISTRATION,
          resources: ["*"],
        }),
        new PolicyStatement({
          sid: "IntakeSigns",
          principals: [account],
          actions: ["kms:Sign"],
          resources: ["*"],
          conditions: { ...RECEIPT_SIGNATURE, ArnEquals: intake },
        }),
        new PolicyStatement({
          sid: "IntakeShowsPublicKey",
          principals: [account],
          actions: ["kms:GetPublicKey"],
          resources: ["*"],
          conditions: { ArnEquals: intake },
        }),
      ],
    }),
  });
}
