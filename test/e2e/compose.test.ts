import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** Whether there is an engine to run containers, and compose. */
const hasEngine = (() => {
  try {
    execFileSync("docker", ["info"], { stdio: "ignore", timeout: 10_000 });
    execFileSync("docker", ["compose", "version"], { stdio: "ignore", timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
})();

/** Building the image installs every package. */
const START_MS = 600_000;

const project = `strongroom-test-${randomBytes(4).toString("hex")}`;
/** Any free ports, so that it stands in nobody's way. */
const PORTS = { GATEWAY_PORT: "", CONTROL_PLANE_PORT: "", IDENTITY_PROVIDER_PORT: "" };

async function compose(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("docker", ["compose", "-p", project, ...args], {
    env: { ...process.env, ...PORTS },
    timeout: START_MS,
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout.trim();
}
const strongroom = (...args: string[]) => compose("exec", "-T", "operator", "strongroom", ...args);
const inside = (service: string, script: string) => compose("exec", "-T", service, "sh", "-c", script);

const started = () => {
  beforeAll(() => compose("up", "-d", "--build", "--wait"), START_MS);
  afterAll(() => compose("down", "--volumes", "--remove-orphans", "--timeout", "5"), 120_000);

  test("an organization is onboarded, and its secret written and read with JWTs", async () => {
    const org = await strongroom("org", "create", "initech", "--claim", "org_initech", "--wait");
    expect(org).toMatch(/^o[a-z2-7]{15}$/);
    const gateway = `http://${await compose("port", "agent", "8200")}`;
    const path = `${gateway}/v1/secret/data/app/db`;
    const writer = await strongroom("token", "--org", "initech", "--group", "writer");
    const body = JSON.stringify({ data: { password: "s3cret" } });
    const written = await fetch(path, { method: "POST", headers: { "x-vault-token": writer }, body });
    expect(written.status).toBe(200);
    const reader = await strongroom("token", "--org", "initech");
    const read = await fetch(path, { headers: { authorization: `Bearer ${reader}` } });
    expect(await read.json()).toMatchObject({ data: { data: { password: "s3cret" } } });
    const vault = ["vault", "--org", "initech", "--", "kv", "get", "-field=password", "secret/app/db"];
    expect(await strongroom(...vault)).toBe("s3cret");
    expect(await strongroom("status")).toContain("in containers");
  });

  test("nothing runs as root, on a root that can be written, or with a package manager at hand", async () => {
    for (const service of ["agent", "control-plane", "gateway", "identity-provider", "operator"]) {
      expect(await inside(service, "id -u"), service).toBe("1000");
      expect(await inside(service, "touch /written 2>/dev/null || echo refused"), service).toBe("refused");
      expect(await inside(service, "command -v npm npx || echo none"), service).toBe("none");
    }
    expect(await inside("internal-vault", "id -u")).toBe("1000");
  });

  test("only loopback addresses are published", async () => {
    for (const port of ["8200", "8280", "8290"]) {
      expect(await compose("port", "agent", port)).toMatch(/^127\.0\.0\.1:[0-9]+$/);
    }
  });

  test("an internal Vault that forgot its keys stops the start, with the command that resets", async () => {
    await compose("restart", "internal-vault");
    expect(await compose("up", "--no-deps", "bootstrap")).toContain("exited with code 4");
    expect(await compose("logs", "bootstrap")).toContain("docker compose down --volumes");
  });
};

if (hasEngine) describe("docker-compose.yml", started);
else test.skip("docker-compose.yml, started for real (skipped: no container engine)", () => {});
