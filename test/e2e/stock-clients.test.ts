import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import nodeVault from "node-vault";
import { beforeAll, describe, expect, inject } from "vitest";
import { type ForeignClient, goClient, hvac } from "../harness/clients.ts";
import { test } from "../harness/fixtures.ts";
import type { TestGateway } from "../harness/gateway.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { OrgVault } from "../harness/vault.ts";

/** Clients as their makers ship them, with nothing changed but the address and the token. */

const run = promisify(execFile);
const [python, go] = await Promise.all([hvac(), goClient()]);

let issuer: TestIssuer;
let acme: OrgVault;
let gateway: TestGateway;
let home: string;
test.beforeAll(({ servedOrg }) => {
  ({ issuer, acme, gateway, home } = servedOrg);
});

/** A new JWT each time, so that no test ends another's. */
let people = 0;
const token = (level?: "writer" | "admin") =>
  issuer.token({ sub: `person-${++people}`, ...(level && { [issuer.issuer.groupsClaim]: [level] }) });

describe("the vault program", () => {
  const vault = async (jwt: string, args: string[], env: Record<string, string> = {}) => {
    const environment = { PATH: "/usr/bin:/bin", HOME: home, VAULT_ADDR: gateway.url, ...env };
    const { stdout } = await run(inject("vaultBinary"), args, {
      env: { ...environment, ...(jwt && { VAULT_TOKEN: jwt }) },
    });
    return stdout.trim();
  };
  const as = (level?: "writer" | "admin") => {
    const jwt = token(level);
    return (...args: string[]) => vault(jwt, args);
  };

  test("kv: get, put, patch, list, delete, undelete, rollback, destroy, metadata", async () => {
    const admin = as("admin");
    await admin("kv", "put", "secret/cli/db", "user=app", "password=s3cret");
    expect(await admin("kv", "get", "-field=password", "secret/cli/db")).toBe("s3cret");
    await admin("kv", "patch", "secret/cli/db", "user=other");
    await admin("kv", "patch", "-method=rw", "secret/cli/db", "port=5432");
    expect(await admin("kv", "get", "-version=1", "-field=user", "-mount=secret", "cli/db")).toBe("app");
    expect(await admin("kv", "list", "secret/cli/")).toMatch(/db$/);
    await admin("kv", "rollback", "-version=1", "secret/cli/db");
    await admin("kv", "metadata", "put", "-max-versions=5", "-custom-metadata=owner=ada", "secret/cli/db");
    await admin("kv", "metadata", "patch", "-custom-metadata=team=db", "secret/cli/db");
    const metadata = JSON.parse(await admin("kv", "metadata", "get", "-format=json", "secret/cli/db"));
    expect(metadata.data).toMatchObject({ max_versions: 5, custom_metadata: { owner: "ada", team: "db" } });
    await admin("kv", "delete", "secret/cli/db");
    await admin("kv", "undelete", "-versions=2", "secret/cli/db");
    expect(await admin("kv", "get", "-version=2", "-field=user", "secret/cli/db")).toBe("other");
    await admin("kv", "destroy", "-versions=1", "secret/cli/db");
    await admin("kv", "metadata", "delete", "secret/cli/db");
  });

  test("read, write, list, delete and capabilities", async () => {
    const writer = as("writer");
    await writer("kv", "put", "secret/raw/db", "a=1");
    expect(JSON.parse(await writer("read", "-format=json", "secret/data/raw/db")).data.data).toEqual({
      a: "1",
    });
    expect(await writer("list", "secret/metadata/raw")).toMatch(/db$/);
    expect(await writer("token", "capabilities", "secret/data/raw/db")).toMatch(/read.*update/);
    await writer("delete", "secret/data/raw/db");
  });

  test("what is not served is refused, and never said not to be there; a token without a role, what to do", async () => {
    const admin = as("admin");
    await expect(admin("policy", "read", "admin")).rejects.toThrow(/Code: 403[\s\S]*not served here/);
    await expect(admin("path-help", "secret/data/x")).rejects.toThrow(/Help is not served/);
    await expect(admin("token", "create")).rejects.toThrow(/vault token create -role=machine/);
    await expect(vault("x", ["kv", "get", "secret/cli/none"])).rejects.toThrow(
      /permission denied[\s\S]*invalid token/,
    );
  });

  test("secrets list, kv of a mount by its name alone, write -f, an unknown parameter", async () => {
    const writer = as("writer");
    const mounts = JSON.parse(await writer("secrets", "list", "-format=json"));
    expect(Object.keys(mounts)).toEqual(["secret/", "transit/"]);
    expect(mounts["secret/"]).toMatchObject({ type: "kv", options: { version: "2" } });
    await expect(writer("write", "-f", "auth/token/renew-self")).resolves.toContain("token_policies");
    await writer("kv", "put", "secret/notes/db", "a=1");
    await writer("kv", "metadata", "put", "-custom-metadata=owner=ada", "secret/notes/db");
    await expect(writer("kv", "metadata", "put", "-max-versions=1", "secret/notes/db")).rejects.toThrow(
      /403/,
    );
    const config = JSON.parse(await writer("read", "-format=json", "secret/config"));
    expect(config.data).toHaveProperty("max_versions");
    await expect(writer("write", "secret/config", "max_versions=3")).rejects.toThrow(/403/);
    await as("admin")("write", "secret/config", "max_versions=0");
  });

  test("token lookup and renew; status", async () => {
    const admin = as("admin");
    expect(JSON.parse(await admin("token", "lookup", "-format=json")).data.policies).toEqual(["admin"]);
    const renewed = JSON.parse(await admin("token", "renew", "-format=json"));
    expect(renewed.auth).toMatchObject({ renewable: false, policies: ["admin"] });
    expect(renewed.warnings.join()).toContain("Get a new one");
    expect(JSON.parse(await admin("status", "-format=json"))).toMatchObject({ sealed: false });
  });

  test("token revoke -self: the JWT is good for nothing more", async () => {
    const writer = as("writer");
    await writer("kv", "put", "secret/revoked/db", "a=1");
    await writer("token", "revoke", "-self");
    await expect(writer("kv", "get", "secret/revoked/db")).rejects.toThrow(/Code: 403/);
  });

  test("a login by JWT, and a login by token, whose token the next command uses", async () => {
    const jwt = token("writer");
    const login = ["write", "-field=token", "auth/jwt/login", "role=writer", `jwt=${jwt}`];
    expect(await vault("", login)).toBe(jwt);
    await vault("", ["login", "-no-print", jwt]);
    await vault("", ["kv", "put", "secret/login/db", "a=1"]); // by the file that `vault login` wrote
    expect(await vault("", ["kv", "get", "-field=a", "secret/login/db"])).toBe("1");
    await rm(join(home, ".vault-token"));
  });

  test("a namespace and response wrapping are refused, and it says why", async () => {
    const reader = token();
    const get = ["kv", "get", "secret/cli/none"];
    await expect(vault(reader, get, { VAULT_NAMESPACE: "team" })).rejects.toThrow(/Unset VAULT_NAMESPACE/);
    await expect(vault(reader, get, { VAULT_NAMESPACE: acme.org })).rejects.toThrow(/No value found/);
    await expect(vault(reader, ["read", "-wrap-ttl=60s", "secret/data/x"])).rejects.toThrow(
      /wrapping is not supported/,
    );
  });

  test("its agent: a login by JWT, and a template, which is consul-template's own code", async () => {
    const jwt = token("writer");
    await vault(jwt, ["kv", "put", "secret/agent/db", "password=s3cret"]);
    const [jwtFile, sink, result] = ["jwt", "sink", "result"].map((name) => join(home, name)) as [
      string,
      string,
      string,
    ];
    await writeFile(jwtFile, jwt, { mode: 0o600 });
    const config = join(home, "agent.json");
    const contents = '{{ with secret "secret/data/agent/db" }}{{ .Data.data.password }}{{ end }}';
    await writeFile(
      config,
      JSON.stringify({
        exit_after_auth: true,
        vault: { address: gateway.url },
        auto_auth: {
          method: { type: "jwt", config: { path: jwtFile, role: "writer", remove_jwt_after_reading: false } },
          sinks: [{ sink: { type: "file", config: { path: sink } } }],
        },
        template: [{ contents, destination: result }],
      }),
    );
    await vault("", ["agent", `-config=${config}`, "-log-level=warn"]);
    expect(await readFile(result, "utf8")).toBe("s3cret");
    expect(await readFile(sink, "utf8")).toBe(jwt);
  });
});

test("node-vault, which lists by the verb LIST", async () => {
  const jwt = token("writer");
  const client = nodeVault({ endpoint: gateway.url, token: jwt });
  await client.write("secret/data/node/a", { data: { n: 1 } });
  expect((await client.read("secret/data/node/a")).data.data).toEqual({ n: 1 });
  expect((await client.list("secret/metadata/node")).data.keys).toEqual(["a"]);
  expect((await client.tokenLookupSelf()).data.type).toBe("batch");
  await expect(client.read("secret/data/node/none")).rejects.toMatchObject({
    response: { statusCode: 404 },
  });
  const fresh = nodeVault({ endpoint: gateway.url });
  expect((await fresh.jwtLogin({ role: "writer", jwt })).auth.client_token).toBe(jwt);
  expect((await fresh.read("secret/data/node/a")).data.data).toEqual({ n: 1 });
  expect((await fresh.tokenRenewSelf()).auth.renewable).toBe(false);
  await fresh.tokenRevokeSelf();
  await expect(fresh.read("secret/data/node/a")).rejects.toMatchObject({ response: { statusCode: 403 } });
});

/** Whatever Vault takes as a name and the gateway does too. */
const ODD_NAMES = [
  ...[
    "plain",
    "mit Leerzeichen",
    "müller",
    "u\u0308ber",
    "日本語",
    "😀",
    "it's",
    "a(b)",
    "a&b",
    "a;b",
    "a!b",
    "a$b",
  ],
  ...[
    "a#b",
    "a?b",
    "a*b",
    "*",
    "+",
    "a|b",
    "a[b]",
    "{x}",
    "<y>",
    '"z"',
    "a^b`c",
    "CORP\\svc",
    "100%",
    "a=b,c:d@e~f",
  ],
  ...["..a", "a..b", "...", ".hidden", " leading", "trailing ", "ordner ü/a b/c;d", "teams/R&D/db"],
];

describe("a tree of odd names, moved here from another Vault", () => {
  const encode = (path: string) => path.split("/").map(encodeURIComponent).join("/");
  const hexOf = (name: string) => Buffer.from(name).toString("hex");
  /** The names below a folder, by a client's own listing. */
  const walk = async (list: (folder: string) => Promise<string[]>, folder = ""): Promise<string[]> => {
    const names = await list(folder);
    const found = names.map((name) => (name.endsWith("/") ? walk(list, folder + name) : [folder + name]));
    return (await Promise.all(found)).flat();
  };
  const keysOf = (body: { data?: unknown }) => (body.data as { keys: string[] }).keys;

  beforeAll(async () => {
    // The other Vault is this one, asked directly: what it takes is what has to come over.
    for (const name of ODD_NAMES) {
      await acme.root.write(`secret/data/there/${encode(name)}`, { data: { value: hexOf(name) } });
    }
    const names = await walk(async (folder) =>
      keysOf(await acme.root.list(`secret/metadata/there/${encode(folder)}`)),
    );
    expect(names.sort()).toEqual([...ODD_NAMES].sort());
    const writer = token("writer");
    for (const name of names) {
      const { data } = (await acme.root.read(`secret/data/there/${encode(name)}`)).data as { data: object };
      const answer = await gateway.call("POST", `/v1/secret/data/here/${encode(name)}`, {
        token: writer,
        body: { data },
      });
      expect(answer.status, name).toBe(200);
    }
    const moved = await walk(async (folder) =>
      keysOf(await acme.root.list(`secret/metadata/here/${encode(folder)}`)),
    );
    expect(moved.sort()).toEqual(names);
  });

  test("read back by plain HTTP, each encoded slash and all", async () => {
    const reader = token();
    const list = async (folder: string) =>
      keysOf(
        await gateway
          .call("LIST", `/v1/secret/metadata/here/${encode(folder)}`, { token: reader })
          .then(({ json }) => json),
      );
    expect((await walk(list)).sort()).toEqual([...ODD_NAMES].sort());
    for (const name of ODD_NAMES) {
      for (const path of [encode(name), encodeURIComponent(name)]) {
        const { json } = await gateway.call("GET", `/v1/secret/data/here/${path}`, { token: reader });
        expect(json.data?.data, name).toEqual({ value: hexOf(name) });
      }
    }
  });

  test("read back by the vault program", async () => {
    const environment = { PATH: "/usr/bin:/bin", HOME: home, VAULT_ADDR: gateway.url, VAULT_TOKEN: token() };
    const vault = async (...args: string[]) =>
      (await run(inject("vaultBinary"), args, { env: environment })).stdout;
    const list = async (folder: string) =>
      JSON.parse(await vault("kv", "list", "-format=json", "-mount=secret", `here/${folder}`)) as string[];
    expect((await walk(list)).sort()).toEqual([...ODD_NAMES].sort());
    for (const name of ODD_NAMES) {
      // It takes spaces off the ends of what it is given.
      if (name.trim() !== name) continue;
      const value = await vault("kv", "get", "-field=value", "-mount=secret", `here/${name}`);
      expect(value.trim(), name).toBe(hexOf(name));
    }
  });

  test("read back by node-vault", async () => {
    const client = nodeVault({ endpoint: gateway.url, token: token() });
    const list = async (folder: string) =>
      keysOf(await client.list(`secret/metadata/here/${encode(folder)}`));
    expect((await walk(list)).sort()).toEqual([...ODD_NAMES].sort());
    for (const name of ODD_NAMES) {
      const { data } = await client.read(`secret/data/here/${encode(name)}`);
      expect(data.data, name).toEqual({ value: hexOf(name) });
    }
  });
});

const seenBy = async ({ file, args, env }: ForeignClient) => {
  const environment = {
    PATH: "/usr/bin:/bin",
    HOME: home,
    ...env,
    VAULT_ADDR: gateway.url,
    VAULT_TOKEN: token("writer"),
  };
  return JSON.parse((await run(file, args, { env: environment })).stdout);
};

test.skipIf(!python)("hvac, from PyPI", async () => {
  expect(await seenBy(python as ForeignClient)).toEqual({
    authenticated: true,
    read: { user: "app", password: "s3cret" },
    patched: { user: "other", password: "s3cret" },
    listed: ["db"],
    deleted: 2,
    undeleted: "other",
    forbidden: [expect.stringContaining("permission denied")],
    metadata: 2,
    lookup: ["writer"],
    echoed: true,
    renewable: false,
    revoked: [expect.stringContaining("permission denied")],
    stillAuthenticated: false,
  });
});

test.skipIf(!go)("HashiCorp's Go client", async () => {
  expect(await seenBy(go as ForeignClient)).toEqual({
    read: { user: "app", password: "s3cret" },
    version: { user: "app" },
    listed: ["db"],
    deleted: 2,
    metadata: 2,
    lookup: ["writer"],
    echoed: true,
    watched: true,
    renewable: false,
    revoked: true,
  });
});

describe("by their recorded calls", () => {
  test("External Secrets: login, lookup, read, list, revocation", async () => {
    const jwt = token();
    await gateway.call("POST", "/v1/secret/data/eso/db", {
      token: token("writer"),
      body: { data: { a: 1 } },
    });
    const login = await gateway.call("PUT", "/v1/auth/jwt/login", { body: { role: "reader", jwt } });
    expect(login.json.auth).toMatchObject({ client_token: jwt, renewable: false });
    const headers = { "x-vault-token": jwt, "x-vault-request": "true" };
    const { json } = await gateway.call("GET", "/v1/auth/token/lookup-self", { headers });
    expect(json.data).toMatchObject({
      type: "batch",
      ttl: expect.any(Number),
      expire_time: expect.any(String),
    });
    const read = await gateway.call("GET", "/v1/secret/data/eso/db", { headers });
    expect(read.json.data?.data).toEqual({ a: 1 });
    const list = await gateway.call("GET", "/v1/secret/metadata/eso?list=true", { headers });
    expect(list.json.data?.keys).toEqual(["db"]);
    const revoked = await gateway.call("POST", "/v1/auth/token/revoke-self", { headers, body: {} });
    expect(revoked.status).toBe(204);
  });

  test("vault-action: login by JWT, or the JWT as token, and the read", async () => {
    const jwt = token();
    const login = await gateway.call("POST", "/v1/auth/jwt/login", { body: { role: "reader", jwt } });
    expect(login.status).toBe(200);
    const headers = { "x-vault-token": jwt, "x-vault-namespace": "", "user-agent": "got" };
    expect((await gateway.call("GET", "/v1/secret/data/eso/db", { headers })).status).toBe(200);
  });

  test("Terraform's provider with skip_child_token: lookup, seal status, read; without it a refusal that is Vault's form", async () => {
    const headers = { "x-vault-token": token(), "x-vault-request": "true" };
    expect((await gateway.call("GET", "/v1/auth/token/lookup-self", { headers })).status).toBe(200);
    expect((await gateway.call("GET", "/v1/sys/seal-status", { headers })).status).toBe(200);
    expect((await gateway.call("GET", "/v1/secret/data/eso/db", { headers })).status).toBe(200);
    const child = await gateway.call("POST", "/v1/auth/token/create", { headers, body: { ttl: "20m" } });
    expect(child).toMatchObject({
      status: 403,
      json: { errors: [expect.stringContaining("skip_child_token")] },
    });
  });
});
