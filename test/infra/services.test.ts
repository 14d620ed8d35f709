import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readEnvironment } from "../../services/cli/settings.ts";
import { Config as ControlPlaneConfig, runtimeSettings } from "../../services/control-plane/config.ts";
import { Config as GatewayConfig } from "../../services/gateway/config.ts";
import { readConfig } from "../../services/shared/config.ts";
import type { Resource } from "./deployment.ts";
import { synthesize } from "./synthesized.ts";

const { deployment } = synthesize();

const container = (name: string) =>
  deployment
    .resources("AWS::ECS::TaskDefinition")
    .map(({ properties }) => properties.ContainerDefinitions[0])
    .find(({ Name }) => Name === name);

function environment(name: string): Record<string, string> {
  return Object.fromEntries(
    container(name).Environment.map(({ Name, Value }: { Name: string; Value: string }) => [Name, Value]),
  );
}

const ecsService = (name: string) =>
  deployment.resources("AWS::ECS::Service").find(({ properties }) => properties.ServiceName === name)
    ?.properties;

describe("the gateway", () => {
  test("takes the settings it is given", () => {
    expect(readConfig(environment("gateway"), GatewayConfig)).toMatchObject({
      STRONGROOM_DIRECTORY_URL: "http://control-plane.vaults.strongroom.example.com:8280/v1/directory",
      // All callers have the load balancer's address: theirs is what it adds.
      STRONGROOM_BEHIND_PROXY: true,
    });
  });

  test("is started as docker compose starts it, for one core", () => {
    const compose = readFileSync(new URL("../../docker-compose.yml", import.meta.url), "utf8");
    const command = /command: \[(.+services\/gateway\/main\.ts)\]/.exec(compose)?.[1]?.split(", ");
    expect(command).toContain("--single-threaded-gc");
    expect(container("gateway").Command.slice(1)).toEqual(command); // the first is what its shell is called
  });

  test("runs in every zone, and is replaced before it is stopped", () => {
    expect(ecsService("gateway")).toMatchObject({
      DesiredCount: 3,
      DeploymentConfiguration: {
        MinimumHealthyPercent: 100,
        DeploymentCircuitBreaker: { Enable: true, Rollback: true },
      },
      AvailabilityZoneRebalancing: "ENABLED",
      // ECS leaves one alone that only waits for a directory.
      HealthCheckGracePeriodSeconds: 900,
    });
  });

  test("is created once the control plane runs, whose directory it needs", () => {
    const [gateway, controlPlane] = ["gateway", "control-plane"].map((name) =>
      deployment.resources("AWS::ECS::Service").find(({ properties }) => properties.ServiceName === name),
    );
    const { DependsOn = [] } = deployment.templates[gateway?.stack ?? ""]?.Resources[gateway?.id ?? ""] ?? {};
    expect(DependsOn).toContain(controlPlane?.id);
  });

  test.each([
    ["StrongroomServices", "gateway", { Port: 8200, HealthCheckPath: "/v1/sys/health" }],
    ["StrongroomIntake", "intake", { Port: 8220, HealthCheckPath: "/v1/ready" }],
  ])("%s has an entrance that leads to one service: TLS 1.2 at least, HSTS, a limit, and no port 80", (stack, service, target) => {
    const of = (type: string) => deployment.resources(type).filter((each) => each.stack === stack);
    const public_ = ({ properties }: Resource) => properties.Protocol?.startsWith("HTTP");
    const listeners = of("AWS::ElasticLoadBalancingV2::Listener").filter(public_);
    const [listener] = listeners;
    const [group] = of("AWS::ElasticLoadBalancingV2::TargetGroup").filter(public_);
    expect(listeners.length).toBe(1);
    expect(listener?.properties).toMatchObject({
      Port: 443,
      Protocol: "HTTPS",
      SslPolicy: "ELBSecurityPolicy-TLS13-1-2-2021-06",
      DefaultActions: [{ Type: "forward" }],
    });
    expect(listener?.properties.ListenerAttributes).toContainEqual({
      Key: "routing.http.response.strict_transport_security.header_value",
      Value: "max-age=31536000; includeSubDomains",
    });
    expect(group?.properties).toMatchObject(target);
    const targetGroup = deployment.resolve(stack, { Ref: group?.id ?? "" });
    const behind = of("AWS::ECS::Service")
      .filter(({ properties }) => properties.LoadBalancers?.[0].TargetGroupArn === targetGroup)
      .map(({ properties }) => properties.ServiceName);
    expect(behind).toEqual([service]);
    const [loadBalancer] = of("AWS::ElasticLoadBalancingV2::LoadBalancer").filter(
      ({ properties }) => properties.Type === "application",
    );
    expect(loadBalancer?.properties.LoadBalancerAttributes).toEqual(
      expect.arrayContaining([
        { Key: "routing.http.xff_header_processing.mode", Value: "append" },
        { Key: "routing.http.drop_invalid_header_fields.enabled", Value: "true" },
      ]),
    );
    const [webAcl] = of("AWS::WAFv2::WebACL");
    expect(webAcl?.properties.Rules).toMatchObject([
      { Action: { Block: {} }, Statement: { RateBasedStatement: { Limit: 3000, AggregateKeyType: "IP" } } },
    ]);
    expect(of("AWS::WAFv2::WebACLAssociation").length).toBe(1);
    expect(deployment.resources("AWS::WAFv2::LoggingConfiguration")).toEqual([]);
  });
});

describe("the control plane", () => {
  test("takes the settings it is given", () => {
    const config = readConfig(environment("control-plane"), ControlPlaneConfig);
    expect(runtimeSettings(config)).toMatchObject({ kind: "ecs", cell: { cluster: "strongroom-orgs" } });
  });

  test("runs once at most", () => {
    expect(ecsService("control-plane")).toMatchObject({
      DesiredCount: 1,
      DeploymentConfiguration: { MinimumHealthyPercent: 0, MaximumPercent: 100 },
      AvailabilityZoneRebalancing: "DISABLED",
    });
  });
});

describe("the internal Vault", () => {
  test("has three nodes, one more while they change, on S3 with a DynamoDB lock and a KMS seal", () => {
    expect(ecsService("internal-vault")).toMatchObject({
      DesiredCount: 3,
      DeploymentConfiguration: { MinimumHealthyPercent: 100, MaximumPercent: 134 },
      AvailabilityZoneRebalancing: "ENABLED",
    });
    const config = JSON.parse(environment("internal-vault").FILE_VAULT_JSON ?? "");
    const of = (type: string, id: string) => deployment.resource("StrongroomInternalVault", type, id);
    expect(config).toMatchObject({
      seal: { awskms: { kms_key_id: of("AWS::KMS::Key", "SealKey").arn } },
      storage: { s3: { kms_key_id: of("AWS::KMS::Key", "StorageKey").arn } },
      ha_storage: { dynamodb: { ha_enabled: "true" } },
      listener: { tcp: { tls_min_version: "tls13" } },
    });
    expect(of("AWS::S3::Bucket", "Storage").arn).toBe(`arn:aws:s3:::${config.storage.s3.bucket}`);
    expect(of("AWS::DynamoDB::Table", "Lock").arn).toContain(`table/${config.ha_storage.dynamodb.table}`);
  });
});

test("the operator's task finds the platform and the internal Vault, and knows whose certificate to trust", () => {
  expect(readEnvironment(environment("operator"))).toMatchObject({
    STRONGROOM_URL: "http://control-plane.vaults.strongroom.example.com:8280",
    system: { VAULT_ADDR: "https://internal-vault.strongroom.example.com:8200" },
  });
  const ca = "/dev/shm/strongroom/internal-vault-ca.pem";
  expect(environment("operator")).toMatchObject({ VAULT_CACERT: ca, NODE_EXTRA_CA_CERTS: ca });
});

test("nobody enters a service's task", () => {
  for (const { properties } of deployment.resources("AWS::ECS::Service")) {
    expect(properties.EnableExecuteCommand ?? false).toBe(false);
  }
});

describe("what is published by parameter", () => {
  test("is taken by CloudFormation, so that no running service reads it", () => {
    const { Parameters = {} } = deployment.templates.StrongroomServices ?? {};
    const published = Object.values(Parameters)
      .filter(({ Type }) => Type === "AWS::SSM::Parameter::Value<String>")
      .map(({ Default }) => Default);
    expect(published.filter((name) => name?.startsWith("/strongroom")).toSorted()).toEqual(
      ["ca", "directory-key", "internal-vault/ca", "issuers", "ownership-key", "recovery-key"].map(
        (name) => `/strongroom/platform/${name}`,
      ),
    );
    const guide = readFileSync(new URL("../../docs/aws.md", import.meta.url), "utf8");
    for (const name of published) if (name?.startsWith("/strongroom")) expect(guide).toContain(name);
  });
});
