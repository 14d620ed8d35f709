import { RemovalPolicy, Stack } from "aws-cdk-lib";
import { AnyPrincipal, Effect, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { Key } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";

/** A customer key that rotates every year and is never removed with its stack, once that has been created. */
export function customerKey(scope: Construct, id: string, description: string, alias?: string): Key {
  const removalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE;
  return new Key(scope, id, { description, alias, enableKeyRotation: true, removalPolicy });
}

/**
 * Lets roles of one path or name alone decrypt with the key, whatever any other policy of the account says.
 * Whoever may write the key's policy can undo it, which stands in CloudTrail.
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
