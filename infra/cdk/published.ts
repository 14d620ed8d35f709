import { StringParameter } from "aws-cdk-lib/aws-ssm";
import type { Construct } from "constructs";
import type { Settings } from "./settings.ts";

/** The authority behind the internal Vault's certificate: the file, and the parameter it comes from. */
export const INTERNAL_CA = "internal-vault-ca.pem";
export const INTERNAL_CA_PARAMETER = "internal-vault/ca";

/**
 * A public text that somebody has put into a parameter, taken by CloudFormation when it deploys. So no role of
 * a running service reads it; a service takes a new one by a new deployment.
 */
export const published = (scope: Construct, { parameterPrefix }: Settings, name: string): string =>
  StringParameter.valueForStringParameter(scope, `${parameterPrefix}/platform/${name}`);
