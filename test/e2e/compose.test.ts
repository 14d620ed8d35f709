import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
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

/** Any free ports, so that it stands in nobody's way. */
const PORTS = { GATEWAY_PORT: "", CONTROL_PLANE_PORT: "", IDENTITY_PROVIDER_PORT: "", INTAKE_PORT: "" };
const WORKERS = ["worker-integration", "worker-webhook", "worker-feed", "worker-broker"];
const SERVICES = ["agent", "control-plane", "gateway", "identity-provider", "intake", "operator", ...WORKERS];

/** A project of its own, made of these files. */
const composeOf = (...files: string[]) => {
  const project = ["-p", `strongroom-test-${randomBytes(4).toString("hex")}`];
  const options = ["compose", ...project, ...files.flatMap((file) => ["-f", file])];
  return async (...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)("docker", [...options, ...args], {
      env: { ...process.env, ...PORTS },
      timeout: START_MS,
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout.trim();
  };
};
type Compose = ReturnType<typeof composeOf>;

/** Tests of what is so on any platform in containers. */
function started(compose: Compose, others: string[]) {
  const strongroom = (...args: string[]) => compose("exec", "-T", "operator", "strongroom", ...args);
  const inside = (service: string, script: string) => compose("exec", "-T", service, "sh", "-c", script);

  beforeAll(() => compose("up", "-d", "--build", "--wait"), START_MS);
  afterAll(() => compose("down", "--volumes", "--remove-orphans", "--timeout", "5"), 120_000);

  test("an organization is onboarded, and its secret written and read with JWTs", async () => {
    const org = await strongroom("org", "create", "initech", "--claim", "org_initech", "--wait");
    expect(org).toMatch(/^o[a-z2-7]{15}$/);
    const gateway = `http://${await compose("port", "agent", "8270")}`;
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
    for (const service of SERVICES) {
      expect(await inside(service, "command -v npm npx || echo none"), service).toBe("none");
    }
    for (const service of [...SERVICES, ...others]) {
      expect(await inside(service, "touch /written 2>/dev/null || echo refused"), service).toBe("refused");
    }
    for (const service of [...SERVICES, ...others, "internal-vault"]) {
      expect(await inside(service, "id -u"), service).toBe("1000");
    }
  });

  test("only loopback addresses are published, and of nothing but what one speaks to", async () => {
    const ports = (await compose("ps", "--format", "{{.Ports}}")).matchAll(/([^\s,]+):\d+->(\d+)/g);
    expect([...ports].map(([, address, port]) => `${address} ${port}`).sort()).toEqual([
      "127.0.0.1 8220",
      "127.0.0.1 8270",
      "127.0.0.1 8280",
      "127.0.0.1 8290",
    ]);
  });
}

/** Tests of the intake and its workers. */
function credentials(compose: Compose) {
  const strongroom = (...args: string[]) => compose("exec", "-T", "operator", "strongroom", ...args);
  const reaches = async (service: string, url: string) => {
    const script = `fetch("${url}", { signal: AbortSignal.timeout(3000) }).then((r) => r.status, () => "not reached").then((said) => process.stdout.write(String(said), () => process.exit()))`;
    return await compose("exec", "-T", service, "node", "--eval", script);
  };

  test("a worker opens what the intake sealed, and connects to no address that is not public", async () => {
    const member = ["--org", "initech", "--group", "admin"];
    await compose(
      ...["exec", "-T", "operator", "sh", "-c"],
      `printf sk_initech_1234 | strongroom credential put key ${member.join(" ")} --origin https://127-0-0-1.invalid --path '/**'`,
    );
    const job = await strongroom(
      "job",
      "run",
      "key",
      "GET",
      "/v1/me",
      "--timeout",
      "5s",
      "--json",
      ...member,
    );
    const { id } = JSON.parse(job) as { id: string };
    const outcome = async () => JSON.parse(await strongroom("--json", "job", "show", id, ...member));
    await expect.poll(outcome, { timeout: 60_000, interval: 500 }).toMatchObject({
      state: "failed",
      failure: { class: expect.stringMatching(/unreachable|destination_refused/) },
    });
  });

  test("a use goes through the broker, which verifies the caller, and connects to no address that is not public", async () => {
    const intake = `http://${await compose("port", "agent", "8220")}`;
    const token = await strongroom("token", "--org", "initech", "--group", "admin");
    const send = async (method: string, path: string, body?: object) => {
      const answer = await fetch(`${intake}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
        ...(body && { body: JSON.stringify(body) }),
      });
      return { status: answer.status, ...((await answer.json()) as { code?: string }) };
    };
    const rule = { id: "all", methods: ["GET"], paths: ["/**"], who: { level: "reader" } };
    const inject = { header: "Authorization", format: "Bearer {}" };
    const destination = { origin: "https://127-0-0-1.invalid", inject, rules: [rule] };
    const put = { purpose: "broker", value: "sk_initech_1234", destination };
    expect((await send("PUT", "/v1/credentials/direct", put)).status).toBe(201);
    const used = await send("GET", "/v1/use/direct/v1/me");
    expect(used.code).toMatch(/^destination_(unreachable|refused)$/);
    expect((await send("POST", "/v1/use/direct/v1/me", {})).code).toBe("use_not_allowed");
  });

  test("from a worker only its key provider is reached, from the worker of feeds nothing, and from the broker what verifies callers", async () => {
    const vault = "http://internal-vault:8200/v1/sys/health";
    const addresses = (await compose("exec", "-T", "agent", "hostname", "-i")).split(" ");
    const reached = (url: string) => Promise.all(WORKERS.map((worker) => reaches(worker, url)));
    const nobody = WORKERS.map(() => "not reached");
    expect(await reached(vault)).toEqual(["200", "200", "not reached", "200"]);
    expect(await reached("http://agent:8280/v1/directory")).toEqual(nobody.with(3, "200"));
    expect(await reached("https://worker-broker:8240/healthz")).toEqual(nobody);
    for (const address of addresses) {
      const ports = ["8220/v1/ready", "8270/v1/sys/health", "8280/v1/ready", "8290/health"];
      for (const port of ports) {
        const url = `http://${address}:${port}`;
        expect(await reaches("operator", url), url).toBe("200");
        expect((await reached(url)).slice(0, 3), url).toEqual(nobody.slice(0, 3));
      }
    }
  });

  test("no worker has another's login or queue, or the intake's store", async () => {
    for (const worker of WORKERS) {
      const listed = (await compose("exec", "-T", worker, "sh", "-c", "find /state -type f")).split("\n");
      const own = new RegExp(`^/state/(${worker}|queues/${worker.replace("worker-", "")})/`);
      expect(
        listed.filter((path) => !own.test(path)),
        worker,
      ).toEqual([]);
    }
  });
}

/** Of a part that keeps all in memory: a service that is started once after it sees that it has forgotten. */
const stopsTheStart = async (compose: Compose, forgetful: string, once: string) => {
  await compose("restart", forgetful);
  expect(await compose("up", "--no-deps", once)).toContain("exited with code 4");
  expect(await compose("logs", once)).toContain("docker compose down --volumes");
};

const onOneMachine = () => {
  const compose = composeOf("docker-compose.yml");
  started(compose, []);
  credentials(compose);

  test("an internal Vault that forgot its keys stops the start, with the command that resets", () =>
    stopsTheStart(compose, "internal-vault", "bootstrap"));
};

const onEmulatedAws = () => {
  const compose = composeOf("docker-compose.yml", "docker-compose.aws.yml");
  started(compose, ["emulator"]);

  test("the organization's Vault is an ECS service, and its unseal token a parameter of SSM", async () => {
    const orgs = await compose("exec", "-T", "operator", "strongroom", "--json", "org", "list");
    const [{ id }] = JSON.parse(orgs) as [{ id: string }];
    const answered = async (client: string, request: string) => {
      const script = `new (require("@aws-sdk/client-${client.toLowerCase()}").${client})().${request}.then(console.log)`;
      return compose("exec", "-T", "control-plane", "node", "--eval", script);
    };
    const services = await answered("ECS", `listServices({ cluster: "strongroom-orgs" })`);
    expect(services).toContain(`:service/strongroom-orgs/strongroom-${id}'`);
    const tasks = await answered("ECS", `listTasks({ cluster: "strongroom-orgs" })`);
    expect(tasks).toContain(":task/strongroom-orgs/");
    const parameters = await answered("SSM", "describeParameters()");
    expect(parameters).toContain(`Name: '/strongroom/orgs/${id}/unseal-token'`);
  });

  test("an emulator that forgot its cluster stops the start, with the command that resets", () =>
    stopsTheStart(compose, "emulator", "cell"));
};

test("docker-compose.aws.yml has the emulator that the tests have", async () => {
  const pins = await readFile("test/harness/aws/moto-requirements.txt", "utf8");
  const [, version] = /^moto==(.+)$/m.exec(pins) ?? [];
  expect(await readFile("docker-compose.aws.yml", "utf8")).toContain(`image: motoserver/moto:${version}\n`);
});

for (const [name, tests] of [
  ["docker-compose.yml", onOneMachine],
  ["docker-compose.aws.yml", onEmulatedAws],
] as const) {
  if (hasEngine) describe(name, tests);
  else test.skip(`${name}, started for real (skipped: no container engine)`, () => {});
}
