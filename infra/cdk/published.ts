import { StringParameter } from "aws-cdk-lib/aws-ssm";
import type { Construct } from "constructs";
import type { Settings } from "./settings.ts";

/** The authority of the internal Vault's certificate: its file, and the parameter for it. */
export const INTERNAL_CA = "internal-vault-ca.pem";
export const INTERNAL_CA_PARAMETER = "internal-vault/ca";

/**
 * A public text in a parameter, which CloudFormation reads when it deploys. So no running service's role reads it; a
 * change takes effect with the next deployment.
 */
export const published = (scope: Construct, { parameterPrefix }: Settings, name: string): string =>
  StringParameter.valueForStringParameter(scope, `${parameterPrefix}/platform/${name}`);
