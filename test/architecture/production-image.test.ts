import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const TOP = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(TOP, path), "utf8");
const DOCKERFILE = read("infra/Dockerfile");
const PROVIDER = "services/identity-provider";
const LIBRARY = "oauth2-mock-server";

interface Package {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  link?: boolean;
  resolved?: string;
}
const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, Package> };

/** A stage's own instructions, and those of the stages it begins with. */
function instructions(dockerfile: string, stage: string): string[] {
  const lines = dockerfile.replaceAll(/\\\n/g, " ").split("\n");
  const begin = lines.findIndex((line) => new RegExp(`^FROM \\S+ AS ${stage}$`).test(line));
  if (begin < 0) return [];
  const [, from = ""] = /^FROM (\S+)/.exec(lines[begin] ?? "") ?? [];
  const rest = lines.slice(begin + 1);
  const end = rest.findIndex((line) => line.startsWith("FROM "));
  return [...instructions(dockerfile, from), ...rest.slice(0, end < 0 ? undefined : end)];
}

/** The paths of the checkout that a stage copies. */
const copied = (dockerfile: string, stage: string): string[] =>
  instructions(dockerfile, stage)
    .filter((line) => line.startsWith("COPY ") && !line.includes("--from="))
    .flatMap((line) => line.split(/\s+/).slice(1, -1));

/** Whether a stage has a path in it, copied by itself or with a folder above or a file below it. */
const holds = (paths: string[], path: string): boolean =>
  paths.some(
    (each) => path === each || path.startsWith(`${each.replace(/\/$/, "")}/`) || each.startsWith(`${path}/`),
  );

/** Names of all packages that are installed for these workspaces, development's left out, by the lock file. */
function installed(...workspaces: string[]): Set<string> {
  const found = new Set<string>();
  const visit = (at: string) => {
    const { dependencies, optionalDependencies } = packages[at] ?? {};
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      let folder = at;
      while (folder && !packages[`${folder}/node_modules/${name}`]) {
        folder = folder.includes("/node_modules/")
          ? folder.slice(0, folder.lastIndexOf("/node_modules/"))
          : "";
      }
      const place = folder ? `${folder}/node_modules/${name}` : `node_modules/${name}`;
      if (found.has(place) || !packages[place]) continue;
      found.add(place);
      visit(place);
    }
  };
  for (const workspace of workspaces) visit(workspace);
  return new Set([...found].map((place) => place.slice(place.lastIndexOf("node_modules/") + 13)));
}

describe("the production image", () => {
  test("is the one that is built by default; the demo's is what docker compose asks for", () => {
    expect(DOCKERFILE.match(/^FROM .*$/gm)?.at(-1)).toBe("FROM base AS production");
    expect(read("docker-compose.yml")).toMatch(/dockerfile: infra\/Dockerfile\n.*\n *target: demo\n/);
    expect(read("docs/aws.md")).not.toContain("--target demo");
  });

  test("has every service but the identity provider, which signs for anyone, and what stands in for others", () => {
    const services = readdirSync(join(TOP, "services")).map((name) => `services/${name}`);
    const paths = copied(DOCKERFILE, "production");
    expect(services.filter((service) => !holds(paths, service))).toEqual([
      "services/demo-provider",
      "services/ecs-emulator",
      PROVIDER,
    ]);
    expect(holds(copied(DOCKERFILE, "demo"), PROVIDER)).toBe(true);
  });

  test.each([
    ["with all services", "COPY services services"],
    ["with a folder's end", "COPY services/ services/"],
    ["by itself", `COPY ${PROVIDER} ${PROVIDER}`],
    ["a file of it", `COPY ${PROVIDER}/main.ts ${PROVIDER}/`],
  ])("copied %s, it would be found", (_, line) => {
    for (const stage of ["FROM base AS production", "AS base"]) {
      const changed = DOCKERFILE.replace(new RegExp(`^(.*${stage})$`, "m"), `$1\n${line}`);
      expect(changed).not.toBe(DOCKERFILE);
      expect(holds(copied(changed, "production"), PROVIDER)).toBe(true);
    }
  });

  test("has not the library either, which comes with the identity provider alone", () => {
    const [modules] = instructions(DOCKERFILE, "modules").filter((line) => line.startsWith("RUN "));
    // Without the workspace's name npm would install what every workspace needs.
    expect(modules).toBe("RUN npm ci --omit=dev --workspace=strongroom --include-workspace-root");
    expect(
      instructions(DOCKERFILE, "production").filter((line) => line.includes("node_modules node_modules")),
    ).toEqual(["COPY --from=modules /strongroom/node_modules node_modules"]);
    expect(installed("", "services/cli")).not.toContain(LIBRARY);
    expect(installed("", "services/cli")).toContain("fastify");
    expect(installed(PROVIDER)).toContain(LIBRARY);
  });

  test("has all that its services import", () => {
    const there = installed("", "services/cli");
    const imports = copied(DOCKERFILE, "production")
      .filter((path) => path.startsWith("services/"))
      .flatMap((service) =>
        readdirSync(join(TOP, service), { recursive: true, encoding: "utf8" }).map((file) =>
          join(service, file),
        ),
      )
      .filter((file) => file.endsWith(".ts"))
      .flatMap((file) => [
        ...read(file).matchAll(/(?:from |import\()"((?:@[^/"]+\/)?[^./"][^/":]*)(?:\/[^"]*)?"/g),
      ])
      .map(([, name = ""]) => name);
    expect(imports.length).toBeGreaterThan(100);
    expect([...new Set(imports)].filter((name) => !there.has(name))).toEqual([]);
  });

  test.each([
    ["node:24-bookworm-slim", `hashicorp/vault@sha256:${"0".repeat(64)}`, 1],
    [`node@sha256:${"0".repeat(64)}`, "hashicorp/vault:1.21", 1],
    [`node@sha256:${"0".repeat(64)}`, `hashicorp/vault@sha256:${"0".repeat(64)}`, 0],
  ])("on %s and %s ends its build with %i", (NODE_IMAGE, VAULT_IMAGE, status) => {
    const check = instructions(DOCKERFILE, "production").find((line) => line.includes("not named by digest"));
    const ended = spawnSync("/bin/sh", ["-c", (check ?? "exit 9").replace(/^RUN /, "")], {
      env: { NODE_IMAGE, VAULT_IMAGE },
      encoding: "utf8",
    });
    expect(ended).toMatchObject({ status, stderr: status ? expect.stringContaining("digest") : "" });
  });
});
