import { Stack, Validations } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

/** Suppresses findings of cdk-nag's AwsSolutions, such as `IAM5[Resource::*]`, each with the reason. */
export function acknowledge(scope: IConstruct, findings: Record<string, string>): void {
  for (const [finding, reason] of Object.entries(findings)) {
    Validations.of(scope).acknowledge({ id: `AwsSolutions-${finding}`, reason });
  }
}

/** The finding for a policy with this resource pattern. */
export function pattern(scope: IConstruct, service: string, resource: string): string {
  return `IAM5[Resource::arn:<AWS::Partition>:${service}:${Stack.of(scope).region}:<AWS::AccountId>:${resource}]`;
}
