import { CfnOutput, Stack } from "aws-cdk-lib";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { ILogGroup } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { acknowledge, pattern } from "./acknowledge.ts";
import { fileInMemory, SERVICES_USER, Task } from "./container.ts";
import { controlPlaneAddress } from "./names.ts";
import type { Network } from "./network.ts";
import { INTERNAL_CA, INTERNAL_CA_PARAMETER, published } from "./published.ts";
import type { Settings } from "./settings.ts";

const ENDS_AFTER_SECONDS = 3600;

/**
 * A place inside the network for an operator's own work: started by hand, ended by itself within the hour,
 * and entered by ECS Exec, which CloudTrail records. It carries no login; the operator brings one. Its role
 * can write the platform's parameters, which is how the first login gets there, and read none. It can read the
 * internal Vault's log, with which `strongroom audit verify` compares the control plane's trail.
 */
export class OperatorTask extends Construct {
  readonly task: Task;

  constructor(
    scope: Construct,
    id: string,
    options: { network: Network; settings: Settings; internalVault: string; auditLog: ILogGroup },
  ) {
    super(scope, id);
    const { network, settings, internalVault, auditLog } = options;
    const { partition, region, account } = Stack.of(this);
    this.task = new Task(this, "Task", {
      name: "operator",
      cpu: 256,
      memory: 512,
      repository: network.serviceImages,
      image: settings.servicesImage,
      user: SERVICES_USER,
      environment: {
        VAULT_ADDR: internalVault,
        VAULT_CACERT: fileInMemory(INTERNAL_CA),
        NODE_EXTRA_CA_CERTS: fileInMemory(INTERNAL_CA),
        STRONGROOM_URL: controlPlaneAddress(settings),
      },
      files: { [INTERNAL_CA]: published(this, settings, INTERNAL_CA_PARAMETER) },
      command: ["sleep", String(ENDS_AFTER_SECONDS)],
      isEntered: true,
    });
    const parameters = `arn:${partition}:ssm:${region}:${account}:parameter${settings.parameterPrefix}/platform/*`;
    auditLog.grant(this.task.role, "logs:FilterLogEvents");
    for (const statement of [
      { actions: ["ssm:PutParameter"], resources: [parameters] },
      {
        actions: ["kms:Encrypt"],
        resources: [network.platformKey.keyArn],
        conditions: {
          StringEquals: { "kms:ViaService": `ssm.${region}.amazonaws.com` },
          StringLike: { "kms:EncryptionContext:PARAMETER_ARN": parameters },
        },
      },
      {
        actions: [
          "ssmmessages:CreateControlChannel",
          "ssmmessages:CreateDataChannel",
          "ssmmessages:OpenControlChannel",
          "ssmmessages:OpenDataChannel",
        ],
        resources: ["*"],
      },
    ]) {
      this.task.role.addToPolicy(new PolicyStatement(statement));
    }
    acknowledge(this.task.role, {
      "IAM5[Resource::*]": "ECS Exec: ssmmessages knows no resource",
      [pattern(this, "ssm", `parameter${settings.parameterPrefix}/platform/*`)]:
        "The platform's own parameters, to write",
    });
    const subnets = network.serviceSubnets.map(({ subnetId }) => subnetId).join(",");
    const group = network.groups.operator.securityGroupId;
    new CfnOutput(this, "Network", {
      description: "--network-configuration of aws ecs run-task",
      value: `awsvpcConfiguration={subnets=[${subnets}],securityGroups=[${group}]}`,
    });
  }
}
