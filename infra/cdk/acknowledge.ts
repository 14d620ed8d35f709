import { Stack, Validations } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

/** Says of a finding of cdk-nag's AwsSolutions, `IAM5[Resource::*]` for one, why it is meant to be so. */
export function acknowledge(scope: IConstruct, findings: Record<string, string>): void {
  for (const [finding, reason] of Object.entries(findings)) {
    Validations.of(scope).acknowledge({ id: `AwsSolutions-${finding}`, reason });
  }
}

/** The finding that a policy names this resource of the account by a pattern. */
export function pattern(scope: IConstruct, service: string, resource: string): string {
  return `IAM5[Resource::arn:<AWS::Partition>:${service}:${Stack.of(scope).region}:<AWS::AccountId>:${resource}]`;
}
