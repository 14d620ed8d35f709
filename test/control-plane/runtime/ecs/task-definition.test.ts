import { expect, test } from "vitest";
import { orgRoles } from "../../../../services/control-plane/runtime/ecs/roles.ts";
import { taskDefinition } from "../../../../services/control-plane/runtime/ecs/task-definition.ts";
import { type Cell, parseCell } from "../../../../services/shared/aws/cell.ts";
import type { InstanceSpec } from "../../../../services/shared/instance-spec.ts";
import { CELL } from "../../../harness/aws/cell.ts";

const ORG = "oaaaaaaaaaaaaaaa";
const SPEC: InstanceSpec = {
  org: ORG,
  attempt: 1,
  listen: `${ORG}.orgs.strongroom.internal:8200`,
  config: { listener: { tcp: { address: "{address}:8200", tls_key_file: "{dir}/tls/key.pem" } } },
  environment: { COLOUR: "blue" },
  files: [{ file: "tls/ca.pem", content: "a certificate" }],
  secrets: [
    { environment: "VAULT_TOKEN", parameter: `/strongroom/orgs/${ORG}/unseal-token` },
    { file: "tls/key.pem", parameter: `/strongroom/orgs/${ORG}/tls-key` },
  ],
  restart: 0,
  reload: 0,
};

function define(changes: Partial<Cell> = {}, spec: Partial<InstanceSpec> = {}) {
  const cell = parseCell(JSON.stringify({ ...CELL, ...changes }), "cell");
  const definition = taskDefinition(cell, orgRoles(cell, ORG), { ...SPEC, ...spec });
  const [container] = definition.containerDefinitions ?? [];
  const tag = (name: string) => definition.tags?.find(({ key }) => key === name)?.value;
  return { definition, container, tag };
}

test("secrets are named by their parameters, and nothing else names or holds one", () => {
  const { container } = define();
  const parameter = `arn:aws:ssm:eu-central-1:123456789012:parameter/strongroom/orgs/${ORG}`;
  expect(container?.secrets).toEqual([
    { name: "VAULT_TOKEN", valueFrom: `${parameter}/unseal-token` },
    { name: "FILE_TLS_KEY_PEM", valueFrom: `${parameter}/tls-key` },
  ]);
  expect(container?.environment).toEqual([
    {
      name: "VAULT_CONFIG",
      value: '{"listener":{"tcp":{"address":"{address}:8200","tls_key_file":"./tls/key.pem"}}}',
    },
    { name: "FILE_TLS_CA_PEM", value: "a certificate" },
    { name: "COLOUR", value: "blue" },
  ]);
});

test("the container is not root, has no capability, and writes to memory alone", () => {
  expect(define().container).toMatchObject({
    user: "vault",
    readonlyRootFilesystem: true,
    workingDirectory: "/dev/shm",
    linuxParameters: { capabilities: { drop: ["ALL"] } },
    stopTimeout: 60,
    healthCheck: { interval: 5, timeout: 2, retries: 2 },
  });
});

test("on Fargate it asks for no limit that Fargate refuses; on EC2 for the one that mlock needs", () => {
  expect(define().definition).toMatchObject({
    requiresCompatibilities: ["FARGATE"],
    cpu: "256",
    memory: "512",
    runtimePlatform: { cpuArchitecture: "ARM64" },
  });
  expect(define().container?.ulimits).toEqual([]);
  const onEc2 = define({ launchType: "EC2", architecture: "X86_64" });
  expect(onEc2.definition).toMatchObject({
    requiresCompatibilities: ["EC2"],
    runtimePlatform: { cpuArchitecture: "X86_64" },
  });
  expect(onEc2.container?.ulimits).toEqual([{ name: "memlock", softLimit: -1, hardLimit: -1 }]);
});

test("its tags tell whose it is, which attempt, and what content; any change is another content", () => {
  const { tag, definition } = define();
  expect(definition.tags).toEqual(
    expect.arrayContaining([
      { key: "org", value: ORG },
      { key: "strongroom:attempt", value: "1" },
      { key: "strongroom:restart", value: "0" },
      { key: "strongroom:reload", value: "0" },
    ]),
  );
  const digest = "strongroom:digest";
  expect(define().tag(digest)).toBe(tag(digest));
  for (const other of [define({}, { reload: 1 }), define({}, { restart: 1 }), define({ image: "other:1" })]) {
    expect(other.tag(digest)).not.toBe(tag(digest));
  }
});
