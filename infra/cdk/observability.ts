import { Duration, Stack, type StackProps } from "aws-cdk-lib";
import { Alarm, ComparisonOperator, Metric, Stats, TreatMissingData } from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import { HttpCodeElb, HttpCodeTarget } from "aws-cdk-lib/aws-elasticloadbalancingv2";
import { Rule } from "aws-cdk-lib/aws-events";
import { SnsTopic } from "aws-cdk-lib/aws-events-targets";
import { ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { FilterPattern, MetricFilter } from "aws-cdk-lib/aws-logs";
import { Topic } from "aws-cdk-lib/aws-sns";
import type { Construct } from "constructs";
import { queuePrefix } from "./credentials/names.ts";
import type { Worker } from "./credentials/worker.ts";
import { customerKey } from "./keys.ts";
import type { Parts } from "./parts.ts";
import type { Services } from "./services.ts";

const NAMESPACE = "Strongroom";
const FIVE_MINUTES = Duration.minutes(5);
const FEW_STOPS = 10;
const FEW_ERRORS = 5;

/** What the control plane logs when something wants an operator, by the alarm that comes of it. */
export const ALARMING_LINES = {
  /** A Vault that is sealed, does not answer, or is not what it should be. */
  OrganizationNotWell: "organization unhealthy",
  OrganizationNotLookedAfter: "cannot reconcile an organization",
  /** It had to be: it was lost, or nearly over, and a Vault without one does not start again. */
  UnsealTokenReplaced: "replacing the unseal token",
  OrganizationQuarantined: "organization quarantined",
  /** Somebody, or a newer platform, wants it otherwise than it is; repairing it takes an approval. */
  OrganizationDrifted: "the organization's Vault has drift",
  PassFailed: "reconcile pass failed",
  /** It lives and takes its time: nothing is kept in order meanwhile, and new gateways may wait for it. */
  NotReady: "still starting",
} as const;

/** Alarms, all to one topic: subscribe to it. */
export class Observability extends Stack {
  readonly topic: Topic;

  constructor(
    scope: Construct,
    id: string,
    parts: Parts & { services: Services; workers: Worker[] },
    props?: StackProps,
  ) {
    super(scope, id, props);
    const key = customerKey(this, "TopicKey", "Strongroom: alarms");
    this.topic = new Topic(this, "Alarms", {
      topicName: "strongroom-alarms",
      masterKey: key,
      enforceSSL: true,
    });
    for (const service of ["cloudwatch", "events"]) {
      const publisher = new ServicePrincipal(`${service}.amazonaws.com`, {
        conditions: { StringEquals: { "aws:SourceAccount": this.account } },
      });
      key.grantEncryptDecrypt(publisher);
      this.topic.grantPublish(publisher);
    }
    this.#logs(parts);
    this.#tasks(parts);
    this.#entrance(parts);
    this.#deadLetters(parts.workers.filter(({ account }) => account === this.account));
  }

  #alarm(id: string, description: string, metric: Metric, threshold: number, more: object = {}): void {
    new Alarm(this, id, {
      alarmDescription: description,
      metric,
      threshold,
      evaluationPeriods: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: TreatMissingData.NOT_BREACHING,
      ...more,
    }).addAlarmAction(new SnsAction(this.topic));
  }

  #logs({ services }: { services: Services }): void {
    for (const [id, message] of Object.entries(ALARMING_LINES)) {
      const filter = new MetricFilter(this, `${id}Lines`, {
        logGroup: services.controlPlane.log,
        filterPattern: FilterPattern.stringValue("$.msg", "=", message),
        metricNamespace: NAMESPACE,
        metricName: id,
      });
      this.#alarm(
        id,
        `The control plane logged: ${message}. \`strongroom org list\` shows which organization`,
        filter.metric({ statistic: Stats.SUM, period: FIVE_MINUTES }),
        1,
      );
    }
  }

  #tasks({ cell, internalVault, services }: Parts & { services: Services }): void {
    const stopped = new Rule(this, "OrgTasksStopped", {
      description: "An organization's task has stopped",
      eventPattern: {
        source: ["aws.ecs"],
        detailType: ["ECS Task State Change"],
        detail: { clusterArn: [cell.cluster.clusterArn], lastStatus: ["STOPPED"] },
      },
    });
    this.#alarm(
      "OrgTasksLoop",
      "Organizations' tasks keep stopping. See stoppedReason in ECS, and the organizations' logs",
      new Metric({
        namespace: "AWS/Events",
        metricName: "MatchedEvents",
        dimensionsMap: { RuleName: stopped.ruleName },
        statistic: Stats.SUM,
        period: FIVE_MINUTES,
      }),
      FEW_STOPS,
    );
    new Rule(this, "ServicesImpaired", {
      description: "A service cannot start its tasks, or a deployment failed, as reported by ECS",
      eventPattern: {
        source: ["aws.ecs"],
        detail: { eventName: ["SERVICE_TASK_START_IMPAIRED", "SERVICE_DEPLOYMENT_FAILED"] },
      },
      targets: [new SnsTopic(this.topic)],
    });
    for (const [id, cluster, service, wanted] of [
      ["InternalVaultNodes", internalVault.cluster.clusterName, "internal-vault", 3],
      ["ControlPlaneRuns", services.cluster.clusterName, "control-plane", 1],
    ] as const) {
      this.#alarm(
        id,
        `Fewer than ${wanted} tasks of ${service} are running`,
        new Metric({
          namespace: "ECS/ContainerInsights",
          metricName: "RunningTaskCount",
          dimensionsMap: { ClusterName: cluster, ServiceName: service },
          statistic: Stats.MINIMUM,
          period: Duration.minutes(1),
        }),
        wanted,
        {
          evaluationPeriods: 5,
          comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
          treatMissingData: TreatMissingData.BREACHING,
        },
      );
    }
  }

  #entrance({ services }: { services: Services }): void {
    const { metrics } = services.entrance.loadBalancer;
    const sum = { statistic: Stats.SUM, period: FIVE_MINUTES };
    this.#alarm(
      "GatewayErrors",
      "The gateway returns 5xx. Its log names the organizations",
      metrics.httpCodeTarget(HttpCodeTarget.TARGET_5XX_COUNT, sum),
      FEW_ERRORS,
    );
    this.#alarm(
      "EntranceErrors",
      "The load balancer itself returns 5xx: no gateway is healthy",
      metrics.httpCodeElb(HttpCodeElb.ELB_5XX_COUNT, sum),
      FEW_ERRORS,
    );
  }

  /** For workers of this account; CloudWatch has no alarms on metrics of another one without its consent. */
  #deadLetters(workers: Worker[]): void {
    for (const { kind } of workers) {
      const queue = `${queuePrefix(kind)}jobs-dead`;
      this.#alarm(
        `Dead${kind}jobs`,
        `Dead letters in ${queue}. See docs/credentials.md`,
        new Metric({
          namespace: "AWS/SQS",
          metricName: "ApproximateNumberOfMessagesVisible",
          dimensionsMap: { QueueName: queue },
          statistic: Stats.MAXIMUM,
          period: FIVE_MINUTES,
        }),
        1,
      );
    }
  }
}
