import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, inject } from "vitest";
import { BUILD_WITHIN_MS, goProject } from "../harness/client-projects.ts";
import { type ServedOrg, test } from "../harness/fixtures.ts";

/** Programs that run on while their JWT ends: what they do then, and whether they take the next from its file. */

/** Long enough to start and read by, on a busy machine. */
const JWT_SECONDS = 20;
const SOON_MS = 45_000;

let org: ServedOrg;
let child: ChildProcess | undefined;
let output = "";
test.beforeAll(({ servedOrg }) => {
  org = servedOrg;
});
afterEach(async () => {
  if (child && child.exitCode === null && child.signalCode === null) {
    child.kill("SIGKILL");
    await once(child, "close");
  }
  child = undefined;
});

const inHome = (name: string) => join(org.home, name);
const write = (path: string, value: string) =>
  org.gateway.call("POST", `/v1/secret/data/${encodeURI(path)}`, {
    token: org.token("writer"),
    body: { data: { value } },
  });
/** As whoever renews a JWT does it: never half a file. */
const put = async (name: string, text: string) => {
  await writeFile(inHome(`${name}.new`), text, { mode: 0o600 });
  await rename(inHome(`${name}.new`), inHome(name));
};
const start = (file: string, args: string[]) => {
  output = "";
  const env = { PATH: "/usr/bin:/bin", HOME: org.home, VAULT_ADDR: org.gateway.url };
  child = spawn(file, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
  }
};
const until = async (what: string, holds: () => Promise<boolean> | boolean) => {
  for (const end = Date.now() + SOON_MS; !(await holds()); await sleep(100)) {
    if (Date.now() > end) throw new Error(`not in time: ${what}\n${output}`);
  }
};
const shows = (name: string, text: string) =>
  until(`${name} says ${text}`, async () => (await readFile(inHome(name), "utf8").catch(() => "")) === text);
const running = () => child?.exitCode === null && child.signalCode === null;
const ended = async (jwt: string) => {
  const { status } = await org.gateway.call("GET", "/v1/auth/token/lookup-self", { token: jwt });
  return status === 403;
};

test("consul-template takes the next JWT from its file", { timeout: BUILD_WITHIN_MS }, async ({ skip }) => {
  const client = await goProject("consul-template", "github.com/hashicorp/consul-template");
  if (!client) return skip("there is no Go");
  await write("template/a b", "before");
  const first = org.token("writer", JWT_SECONDS);
  await put("template-jwt", first);
  await writeFile(
    inHome("template.json"),
    JSON.stringify({
      vault: {
        address: org.gateway.url,
        vault_agent_token_file: inHome("template-jwt"),
        renew_token: false,
        default_lease_duration: "3s",
        retry: { attempts: 0, backoff: "250ms", max_backoff: "1s" },
      },
      template: [
        {
          contents: '{{ with secret "secret/data/template/a b" }}{{ .Data.data.value }}{{ end }}',
          destination: inHome("rendered"),
        },
      ],
    }),
  );
  start(client.file, ["-config", inHome("template.json"), "-log-level", "info"]);
  await shows("rendered", "before");
  await write("template/a b", "changed");
  await shows("rendered", "changed");
  await until("the JWT ended", () => ended(first));
  await write("template/a b", "after");
  await until("a refused read", () => /Code: 403/.test(output));
  expect(running()).toBe(true);
  expect(await readFile(inHome("rendered"), "utf8")).toBe("changed");
  await put("template-jwt", org.token("writer"));
  await shows("rendered", "after");
  expect(running()).toBe(true);
});

test("vault agent logs in again by the JWT that is in its file by then", { timeout: 150_000 }, async () => {
  await write("agent/db", "before");
  const first = org.token("writer", JWT_SECONDS);
  await put("agent-jwt", first);
  await writeFile(
    inHome("agent.json"),
    JSON.stringify({
      vault: { address: org.gateway.url },
      auto_auth: {
        method: {
          type: "jwt",
          config: { path: inHome("agent-jwt"), role: "writer", remove_jwt_after_reading: false },
          max_backoff: "2s",
        },
        sinks: [{ sink: { type: "file", config: { path: inHome("agent-sink") } } }],
      },
      template_config: { static_secret_render_interval: "3s" },
      template: [
        {
          contents: '{{ with secret "secret/data/agent/db" }}{{ .Data.data.value }}{{ end }}',
          destination: inHome("agent-rendered"),
        },
      ],
    }),
  );
  start(inject("vaultBinary"), ["agent", `-config=${inHome("agent.json")}`, "-log-level=info"]);
  await shows("agent-rendered", "before");
  await shows("agent-sink", first);
  await until("the JWT ended", () => ended(first));
  const second = org.token("writer");
  await write("agent/db", "after");
  await put("agent-jwt", second);
  await shows("agent-sink", second);
  await shows("agent-rendered", "after");
  expect(running()).toBe(true);
});
