import { RemovalPolicy, Stack } from "aws-cdk-lib";
import { AnyPrincipal, Effect, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { Key } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";

/** A customer-managed key that rotates every year and, once its stack has been created, is never removed with it. */
export function customerKey(scope: Construct, id: string, description: string, alias?: string): Key {
  const removalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE;
  return new Key(scope, id, { description, alias, enableKeyRotation: true, removalPolicy });
}

/**
 * Allows only roles with one path or name to decrypt with the key, whatever other policies in the account say. Whoever
 * may change the key policy can undo this, which CloudTrail records.
 */
export function decryptOnlyBy(key: Key, role: string): void {
  const { partition, account } = Stack.of(key);
  key.addToResourcePolicy(
    new PolicyStatement({
      sid: "DecryptOnlyByItsOwners",
      effect: Effect.DENY,
      principals: [new AnyPrincipal()],
      actions: ["kms:Decrypt", "kms:ReEncrypt*"],
      resources: ["*"],
      conditions: {
        ArnNotLike: { "aws:PrincipalArn": `arn:${partition}:iam::${account}:role${role}` },
      },
    }),
  );
}
