import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { synthesize } from "./synthesized.ts";

interface Variable {
  Name: string;
  Value: string;
}

const { deployment } = synthesize();
const tasks = deployment.resources("AWS::ECS::TaskDefinition");
const containers = tasks.map(({ properties }) => properties.ContainerDefinitions[0]);

describe("every container", () => {
  test("is one of these", () => {
    expect(containers.map(({ Name }) => Name).toSorted()).toEqual([
      "control-plane",
      "gateway",
      "intake",
      "internal-vault",
      "operator",
      "worker-broker",
      "worker-feed",
      "worker-integration",
      "worker-webhook",
    ]);
  });

  test.each(
    containers.map((container) => [container.Name, container] as const),
  )("%s: not root, few rights, bounded, logged", (name, container) => {
    expect(container.User).toMatch(/^[1-9][0-9]*:[1-9][0-9]*$/);
    expect(container.Privileged ?? false).toBe(false);
    expect(container.Image).toMatch(/\/strongroom\/(vault|services)@sha256:[0-9a-f]{64}$/);
    expect(container.LogConfiguration.Options["awslogs-group"]).toBe(`/strongroom/platform/${name}`);
    expect(container.StopTimeout).toBeLessThanOrEqual(120);
    // ECS Exec writes to the root file system of the one task that people enter.
    const isEntered = name === "operator";
    expect(container.ReadonlyRootFilesystem).toBe(!isEntered);
    expect(container.LinuxParameters.Capabilities?.Drop).toEqual(isEntered ? undefined : ["ALL"]);
    // A worker but the broker listens on no port; one that cannot work ends itself.
    const isWorker = name.startsWith("worker-") && name !== "worker-broker";
    if (isEntered || isWorker) expect(container.HealthCheck).toBeUndefined();
    else expect(container.HealthCheck).toMatchObject({ Interval: 5, Timeout: 2 });
  });

  test("starts only when its starting role has its policy", () => {
    for (const { stack, id } of tasks) {
      const waitsFor = deployment.templates[stack]?.Resources[id]?.DependsOn ?? [];
      expect(waitsFor).toContainEqual(expect.stringMatching(/ExecutionRoleDefaultPolicy/));
    }
  });

  test("is given secrets by parameter alone, each under the platform's own path", () => {
    const secrets = containers.flatMap(({ Secrets = [] }) =>
      Secrets.map(({ ValueFrom }: { ValueFrom: string }) => ValueFrom.replace(/^.*:parameter/, "")),
    );
    expect(secrets.toSorted()).toEqual([
      "/strongroom/platform/control-plane/role-id",
      "/strongroom/platform/control-plane/secret-id",
      "/strongroom/platform/intake/broker-certificate.pem",
      "/strongroom/platform/intake/broker-client-certificate.pem",
      "/strongroom/platform/intake/broker-client-key.pem",
      "/strongroom/platform/internal-vault/tls-certificate",
      "/strongroom/platform/internal-vault/tls-key",
      "/strongroom/platform/worker-broker/certificate.pem",
      "/strongroom/platform/worker-broker/intake-certificate.pem",
      "/strongroom/platform/worker-broker/key.pem",
    ]);
    for (const { Environment = [] } of containers) {
      for (const { Name, Value } of Environment as Variable[]) {
        expect(`${Name}=${Value}`).not.toMatch(/PRIVATE KEY|hv[bs]\.|SecureString/);
      }
    }
  });
});

describe("the entry point", () => {
  const folder = mkdtempSync(join(tmpdir(), "strongroom-container-"));
  const container = containers.find(({ Name }) => Name === "control-plane");
  const awkward = "one\n'two' \"$HOME\" `id` \\n %s\n";
  const inMemory = join(folder, "memory");
  let seen: Record<string, string>;

  beforeAll(() => {
    const environment = Object.fromEntries(
      [
        ...container.Environment,
        ...container.Secrets.map(({ Name }: Variable) => ({ Name, Value: awkward })),
      ].map(({ Name, Value }: Variable) => [Name, Value]),
    );
    const [shell, ...options] = container.EntryPoint as [string, ...string[]];
    // The command as it is but for its program, which tells what it was given.
    const here = options.map((option) => option.replaceAll("/dev/shm/strongroom", inMemory));
    const tell = [container.Command[0], process.execPath, "-p", "JSON.stringify(process.env)"];
    seen = JSON.parse(
      execFileSync(shell, [...here, ...tell], {
        env: { PATH: "/usr/bin:/bin", ...environment },
        encoding: "utf8",
      }),
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("writes every file as it was given, for its owner alone", () => {
    expect(readFileSync(join(inMemory, "secret-id"), "utf8")).toBe(awkward);
    expect(readdirSync(inMemory).toSorted()).toEqual([
      "ca.pem",
      "internal-vault-ca.pem",
      "issuers.json",
      "recovery-key.asc",
      "role-id",
      "secret-id",
    ]);
    expect(statSync(inMemory).mode & 0o777).toBe(0o700);
    for (const file of readdirSync(inMemory)) expect(statSync(join(inMemory, file)).mode & 0o777).toBe(0o600);
  });

  test("leaves the program its settings, and nothing of the files", () => {
    expect(seen.STRONGROOM_RUNTIME).toBe("ecs");
    expect(Object.keys(seen).filter((name) => name.startsWith("FILE_"))).toEqual([]);
    expect(Object.values(seen)).not.toContain(awkward);
  });

  test("writes exactly the files that the settings name", () => {
    for (const { Name, Environment, EntryPoint } of containers) {
      const written = new Set(EntryPoint.join().match(/\/dev\/shm\/strongroom\/[\w.-]+/g));
      const named = (Environment as Variable[])
        .filter((variable) => /_(FILE|COPY|CERTS?|CACERT)$/.test(variable.Name))
        .map(({ Value }) => Value);
      for (const file of named) {
        if (file.endsWith(".jws")) continue; // gateway, intake and broker keep these themselves
        expect({ Name, file, isWritten: written.has(file) }).toEqual({ Name, file, isWritten: true });
      }
    }
  });
});
