/**
 * Delegation by OAuth, with every part real: a certified provider, the intake and the broker as processes under the flags
 * of production, the internal Vault, and a member's browser.
 */
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import type {
  Connection,
  DeletedConnection,
  StartedConnection,
} from "../../services/shared/api/connections.ts";
import type { Credential } from "../../services/shared/api/credentials.ts";
import type { Problem } from "../../services/shared/http/problem.ts";
import type { Level } from "../../services/shared/org.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { CLIENT, type OidcProvider, startOidcProvider } from "../harness/oidc-provider.ts";
import { LAUNCHER } from "../harness/platform.ts";

const REDIRECT = "http://127.0.0.1:45454/callback/";
const NAMES = ["calendar", "mail", "drive", "cli"];
const SCOPES = ["openid", "offline_access", "calendar.read", "calendar.write"];

let op: OidcProvider;
let platform: CredentialPlatform;
beforeAll(async () => {
  op = await startOidcProvider(NAMES.map((name) => `http://127.0.0.1/callback/${name}`));
  platform = await startCredentialPlatform(inject("vaultBinary"), {
    workers: ["broker"],
    exceptions: [op.exception],
  });
  await putSecret();
});
afterAll(async () => {
  await platform?.stop();
  await op?.close();
});
beforeEach(() => platform.destination.clear());

/** The client's secret, as a credential without rules: it is for connections alone. */
async function putSecret(): Promise<void> {
  const destination = { origin: op.issuer, inject: { basic: { user: CLIENT.id } }, rules: [] };
  const body = { purpose: "broker", value: CLIENT.secret, destination };
  const { status, text } = await platform.api("PUT", "/v1/credentials/op-client", platform.token(), { body });
  if (status !== 201) throw new Error(text);
}

/** Another member of `org_acme` than `platform.token()`. */
function tokenOf(subject: string, level: Level = "admin", claim = "org_acme"): string {
  const { orgClaim, groupsClaim } = platform.issuer.issuer;
  return platform.issuer.token({
    sub: subject,
    [orgClaim]: claim,
    [groupsClaim]: level === "reader" ? [] : [level],
  });
}

const startBody = (name: string, changes: object = {}) => ({
  ...{ name, provider: { issuer: op.issuer }, scopes: SCOPES, redirect: `${REDIRECT}${name}` },
  client: { id: CLIENT.id, secretCredential: "op-client" },
  origin: platform.destination.origin,
  rules: [{ id: "read", methods: ["GET"], paths: ["/v1/**"], who: { level: "writer" } }],
  ...changes,
});

async function start(
  name: string,
  token = platform.token(),
  changes: object = {},
): Promise<StartedConnection> {
  const body = startBody(name, changes);
  const answer = await platform.api<StartedConnection>("POST", "/v1/connections", token, { body });
  expect(answer.status, answer.text).toBe(201);
  return answer.body;
}

const complete = <T = Connection>(name: string, callback: string, token = platform.token()) =>
  platform.api<T>("POST", `/v1/connections/${name}/complete`, token, { body: { callback } });

async function connect(name: string, token = platform.token(), changes: object = {}): Promise<Connection> {
  const { url } = await start(name, token, changes);
  const answer = await complete(name, await op.authorize(url), token);
  expect([200, 201], answer.text).toContain(answer.status);
  return answer.body;
}

const get = <T>(path: string, token = platform.token()) => platform.api<T>("GET", path, token);
const remove = (name: string, query = "") =>
  platform.api<DeletedConnection & Problem>("DELETE", `/v1/connections/${name}${query}`);

/** What stands in the organization's receipts about a credential, oldest first, as `action outcome`. */
async function receiptsOf(credential: string): Promise<string[]> {
  const entries: Record<string, unknown>[] = [];
  for (let before: string | undefined; ; ) {
    const query = `limit=100${before === undefined ? "" : `&before=${before}`}`;
    const { body } = await get<{ receipts: { entry: Record<string, unknown> }[]; next?: string }>(
      `/v1/receipts?${query}`,
    );
    entries.push(...body.receipts.map(({ entry }) => entry));
    before = body.next;
    if (before === undefined) break;
  }
  const intents = entries.filter((entry) => entry.type === "intent" && entry.credential === credential);
  return intents.reverse().map(({ action, sequence }) => {
    const completion = entries.find((entry) => entry.type === "completion" && entry.of === sequence);
    return `${action} ${completion?.outcome}`;
  });
}

describe("a member connects", () => {
  test("and nobody sees a token: not the answers, the store, the logs", async () => {
    const refreshTokens: string[] = [];
    op.provider.on("refresh_token.saved", ({ jti }: { jti: string }) => void refreshTokens.push(jti));
    const { name, url, expiresAt } = await start("calendar");
    expect(name).toBe("calendar");
    expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now());
    const callback = await op.authorize(url);
    const made = await complete("calendar", callback);
    expect(made.status, made.text).toBe(201);
    expect(made.body).toMatchObject({
      ...{ name: "calendar", state: "connected", provider: { issuer: op.issuer }, askedScopes: SCOPES },
      ...{ origin: platform.destination.origin, client: { id: CLIENT.id, secretCredential: "op-client" } },
      connectedBy: { issuer: platform.issuer.issuer.issuer, subject: expect.any(String) },
    });
    expect(new Set(made.body.scopes)).toEqual(new Set(SCOPES));
    const shown = await get<Connection>("/v1/connections/calendar", tokenOf("reader", "reader"));
    expect(shown.body).toEqual(made.body);

    expect(refreshTokens).toHaveLength(1);
    const { searchParams } = new URL(callback);
    const secrets = [
      ...refreshTokens,
      CLIENT.secret,
      searchParams.get("code") ?? "",
      searchParams.get("state") ?? "",
    ];
    const files = [platform.storeFile, `${platform.storeFile}-wal`];
    const logs = [platform.intake, ...platform.workers].map((part) => part.logFile);
    for (const file of [...files, ...logs]) {
      const text = await readFile(file, "latin1").catch(() => "");
      expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
    }
    expect(secrets.filter((secret) => made.text.includes(secret))).toEqual([]);
    expect(await receiptsOf("calendar")).toEqual(["connect answered"]);
  });

  test("again, which replaces what was granted", async () => {
    const { body: before } = await get<Credential>("/v1/credentials/calendar");
    const { url } = await start("calendar");
    expect((await complete("calendar", await op.authorize(url))).status).toBe(200);
    const { body: after } = await get<Credential>("/v1/credentials/calendar");
    expect(after.version).toBe(before.version + 1);
  });

  test("by the command, with a browser on the same machine", async () => {
    const [tokenFile, rulesFile] = [join(platform.folder, "token"), join(platform.folder, "rules.json")];
    await writeFile(tokenFile, platform.token(), { mode: 0o600 });
    await writeFile(rulesFile, JSON.stringify(startBody("cli").rules));
    const args = ["connection", "start", "cli", "--issuer", op.issuer, "--client-id", CLIENT.id];
    const more = ["--client-secret-credential", "op-client", "--origin", platform.destination.origin];
    const scopes = ["openid", "offline_access", "calendar.read"].flatMap((scope) => ["--scope", scope]);
    const child = spawn(process.execPath, [LAUNCHER, ...args, ...more, ...scopes, "--rules", rulesFile], {
      env: { PATH: process.env.PATH, STRONGROOM_INTAKE: platform.address, STRONGROOM_TOKEN_FILE: tokenFile },
    });
    let text = "";
    const url = await new Promise<string>((resolve, reject) => {
      child.on("exit", () => reject(new Error(text)));
      child.stderr.on("data", (chunk) => {
        text += chunk;
        const [found] = /https:\/\/\S+\n/.exec(text) ?? [];
        if (found) resolve(found.trim());
      });
    });
    const exited = new Promise<number | null>((resolve) => child.on("exit", resolve));
    const page = await fetch(await op.authorize(url));
    expect(await page.text()).toContain("Go back to the terminal");
    expect(await exited, text).toBe(0);
    expect(text).toContain("cli is connected: openid offline_access calendar.read");
    expect((await get<Connection>("/v1/connections/cli")).body.state).toBe("connected");
  });
});

describe("a flow is one member's, for one use", () => {
  test("state fixation: a member's flow is not completed by a victim who is sent its callback", async () => {
    const { url } = await start("mail", tokenOf("mallory"));
    const callback = await op.authorize(url, "mallory");
    const { status, body } = await complete<Problem>("mail", callback, tokenOf("victim"));
    expect([status, body.code]).toEqual([404, "not_found"]);
    expect((await get("/v1/connections/mail")).status).toBe(404);
  });

  test("state fixation: a victim with a flow of their own does not complete another's", async () => {
    const { url } = await start("mail", tokenOf("mallory"));
    await start("mail", tokenOf("victim"));
    const callback = await op.authorize(url, "mallory");
    const { status, body } = await complete<Problem>("mail", callback, tokenOf("victim"));
    expect([status, body.code]).toEqual([422, "callback_refused"]);
    expect(await receiptsOf("mail")).toEqual(["connect not_sent"]);
  });

  test("code injection: a stolen code is of no use in one's own flow", async () => {
    const { url: theirs } = await start("mail", tokenOf("victim"));
    const code = new URL(await op.authorize(theirs)).searchParams.get("code") ?? "";
    const { url } = await start("mail", tokenOf("mallory"));
    const callback = new URL(await op.authorize(url, "mallory"));
    callback.searchParams.set("code", code);
    const { status, body } = await complete<Problem>("mail", callback.href, tokenOf("mallory"));
    expect([status, body.code]).toEqual([502, "provider_refused"]);
  });

  test("state replay: a callback works once", async () => {
    const { url } = await start("mail");
    const callback = await op.authorize(url);
    expect((await complete("mail", callback)).status).toBe(201);
    expect((await complete("mail", callback)).status).toBe(404);
  });

  test("state replay: of many at once one wins, and the code is sent once", async () => {
    const { url } = await start("drive");
    const callback = await op.authorize(url);
    op.seen.length = 0;
    const answers = await Promise.all(Array.from({ length: 8 }, () => complete("drive", callback)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => ![201, 404, 409].includes(status))).toEqual([]);
    expect(op.seen.filter((each) => each === "POST /token")).toHaveLength(1);
  });

  test("a flow is used up by a response that is not its own", async () => {
    const { url } = await start("mail");
    const callback = await op.authorize(url);
    expect((await complete("mail", callback.replace("state=", "state=x"))).status).toBe(422);
    expect((await complete("mail", callback)).status).toBe(404);
  });

  test("another organization's flow does not exist", async () => {
    const { url } = await start("mail");
    const callback = await op.authorize(url);
    const { status } = await complete("mail", callback, platform.token("org_globex"));
    expect(status).toBe(404);
  });

  test("a member who says no ends it", async () => {
    const { url } = await start("mail");
    const state = new URL(url).searchParams.get("state") ?? "";
    const query = new URLSearchParams({ error: "access_denied", state, iss: op.issuer });
    const { status, body } = await complete<Problem>("mail", `${REDIRECT}mail?${query}`);
    expect([status, body.code]).toEqual([422, "callback_refused"]);
    expect(body.detail).toContain("access_denied");
  });
});

describe("only admins connect, and only to what is allowed", () => {
  test.each(["reader", "writer"] as const)("a %s does not", async (level) => {
    const token = tokenOf("bob", level);
    const { status } = await platform.api("POST", "/v1/connections", token, { body: startBody("mail") });
    expect(status).toBe(403);
    expect((await complete("mail", `${REDIRECT}mail?code=x`, token)).status).toBe(403);
    expect((await platform.api("DELETE", "/v1/connections/calendar", token)).status).toBe(403);
    expect(
      (await platform.api("PATCH", "/v1/connections/calendar", token, { body: { scopes: [] } })).status,
    ).toBe(403);
    const settings = { body: { redirects: [] } };
    expect((await platform.api("PUT", "/v1/connection-settings", token, settings)).status).toBe(403);
  });

  test("another organization sees nothing", async () => {
    const token = platform.token("org_globex");
    expect((await get("/v1/connections/calendar", token)).status).toBe(404);
    expect((await get<{ connections: [] }>("/v1/connections", token)).body.connections).toEqual([]);
    expect((await platform.api("DELETE", "/v1/connections/calendar", token)).status).toBe(404);
  });

  const REFUSED: [what: string, pointer: string, changes: () => object][] = [
    [
      "a redirect that is not listed",
      "/body/redirect",
      () => ({ redirect: "https://evil.example/callback/mail" }),
    ],
    ["another connection's redirect", "/body/redirect", () => ({ redirect: `${REDIRECT}calendar` })],
    ["localhost by its name", "/body/redirect", () => ({ redirect: "http://localhost:45454/callback/mail" })],
    [
      "a provider's issuer without TLS",
      "/body/provider/issuer",
      () => ({ provider: { issuer: "http://op.example" } }),
    ],
    [
      "an issuer at an address",
      "/body/provider/issuer",
      () => ({ provider: { issuer: "https://127.0.0.1" } }),
    ],
    [
      "an issuer at another port",
      "/body/provider/issuer",
      () => ({ provider: { issuer: "https://op.example:22" } }),
    ],
    ["no origin of the API", "/body/origin", () => ({ origin: undefined })],
    ["an origin that is not the provider's", "/body/origin", () => ({ provider: "github" })],
    [
      "a rule that is none",
      "/body/rules/0/paths/0",
      () => ({ rules: [{ ...startBody("x").rules[0], paths: ["/a**"] }] }),
    ],
    [
      "a client's secret that does not exist",
      "/body/client/secretCredential",
      () => ({ client: { id: "x", secretCredential: "no" } }),
    ],
    [
      "a client's secret for another provider",
      "/body/client/secretCredential",
      () => ({ provider: "slack", origin: undefined }),
    ],
  ];
  test.each(REFUSED)("%s is refused", async (_, pointer, changes) => {
    const body = startBody("mail", changes());
    const answer = await platform.api<Problem>("POST", "/v1/connections", platform.token(), { body });
    expect([400, 422], answer.text).toContain(answer.status);
    expect(answer.body.errors?.map((each) => each.pointer)).toContain(pointer);
  });

  test("the list of redirects can be replaced, also by none", async () => {
    const before = await get<{ redirects: string[] }>("/v1/connection-settings");
    const put = (redirects: string[]) =>
      platform.api<Problem>("PUT", "/v1/connection-settings", platform.token(), { body: { redirects } });
    expect((await put(["https://*.acme.example/x"])).body.errors?.[0]?.pointer).toBe("/body/redirects/0");
    expect((await put([])).status).toBe(200);
    const body = startBody("mail");
    expect((await platform.api("POST", "/v1/connections", platform.token(), { body })).status).toBe(422);
    expect((await put(before.body.redirects)).status).toBe(200);
  });

  test("a name that a stored credential has", async () => {
    const body = startBody("op-client", { redirect: `${REDIRECT}op-client` });
    const answer = await platform.api<Problem>("POST", "/v1/connections", platform.token(), { body });
    expect([answer.status, answer.body.code]).toEqual([409, "conflict"]);
  });

  test("the credential of a connection is neither put nor deleted past it", async () => {
    const { body: credential } = await get<Credential>("/v1/credentials/calendar");
    expect(credential).toMatchObject({ purpose: "broker", connection: true });
    const body = { purpose: "broker", value: "another-value", destination: credential.destination };
    for (const [method, options] of [
      ["PUT", { body }],
      ["DELETE", {}],
    ] as const) {
      const { status } = await platform.api(method, "/v1/credentials/calendar", platform.token(), options);
      expect(status).toBe(409);
    }
  });
});

describe("a connection is used", () => {
  /** The API behind the provider: it answers who has delegated to whom, if the token is one of the provider's. */
  const serveApi = () => {
    platform.destination.answer = async ({ headers }, response) => {
      const token = headers.authorization?.slice("Bearer ".length) ?? "";
      const found = await op.provider.AccessToken.find(token);
      response.writeHead(found ? 200 : 401, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ scope: found?.scope, echo: token }));
    };
  };
  const use = (name: string, token = tokenOf("writer", "writer")) =>
    platform.api<{ scope: string; echo: string }>("GET", `/v1/use/${name}/v1/me`, token);

  test("with an access token that nobody sees", async () => {
    serveApi();
    await connect("drive");
    const { status, body, text } = await use("drive");
    expect(status, text).toBe(200);
    expect(new Set(body.scope.split(" "))).toEqual(new Set(SCOPES));
    const sent = platform.destination.effects.at(-1)?.headers.authorization?.slice("Bearer ".length) ?? "";
    expect(sent.length).toBeGreaterThan(20);
    expect(text).not.toContain(sent);
    // The provider has replaced the refresh token: the credential has a new version, and works on.
    const shown = await get<Connection>("/v1/connections/drive");
    expect(shown.body).toMatchObject({ state: "connected", refreshedAt: expect.any(String) });
    expect((await use("drive")).status).toBe(200);
  });

  test("with fewer scopes once they are reduced, and never with more again", async () => {
    serveApi();
    await connect("drive");
    const reduce = (scopes: string[]) =>
      platform.api<Connection & Problem>("PATCH", "/v1/connections/drive", platform.token(), {
        body: { scopes },
      });
    const fewer = SCOPES.filter((scope) => scope !== "calendar.write");
    const reduced = await reduce(fewer);
    expect(reduced.status, reduced.text).toBe(200);
    expect(new Set(reduced.body.scopes)).toEqual(new Set(fewer));
    const { body } = await use("drive");
    expect(body.scope).not.toContain("calendar.write");
    const wider = await reduce(SCOPES);
    expect([wider.status, wider.body.errors?.[0]?.pointer]).toEqual([409, "/body/scopes"]);
  });

  test("not any more once its refresh token was used by somebody else: it is broken, and says so", async () => {
    serveApi();
    const saved: string[] = [];
    op.provider.on("refresh_token.saved", ({ jti }: { jti: string }) => void saved.push(jti));
    await connect("drive");
    const [stolen = ""] = saved.slice(-1);
    const refresh = async (token: string) =>
      (await op.post("/token", { grant_type: "refresh_token", refresh_token: token })).status;
    expect(await refresh(stolen)).toBe(200);
    const { status, body } = await use("drive");
    expect([status, (body as unknown as Problem).code]).toEqual([409, "grant_lost"]);
    expect((await get<Connection>("/v1/connections/drive")).body).toMatchObject({
      state: "broken",
      detail: expect.stringMatching(/invalid_grant.*Connect it again/),
    });
    await connect("drive");
    expect((await use("drive")).status).toBe(200);
  });
});

describe("a key is not stored where a provider delegates", () => {
  const key = (origin: string, changes: object = {}) => ({
    ...{ purpose: "broker", value: "ghp_canary0123456789" },
    destination: {
      ...{ origin, inject: { header: "Authorization", format: "Bearer {}" } },
      rules: startBody("x").rules,
    },
    ...changes,
  });
  const put = (name: string, body: object) =>
    platform.api<Problem>("PUT", `/v1/credentials/${name}`, platform.token(), { body });

  test.each([
    "https://api.github.com",
    "https://slack.com",
    "https://gmail.googleapis.com",
  ])("%s", async (origin) => {
    const { status, body } = await put("forge", key(origin));
    expect([status, body.code]).toEqual([422, "delegation_available"]);
    expect((await get("/v1/credentials/forge")).status).toBe(404);
  });

  test("by a job's credential neither", async () => {
    const destination = { origin: "https://api.github.com", methods: ["GET"], paths: ["/**"] };
    const inject = { header: "Authorization", format: "Bearer {}" };
    const { status } = await put("forge", {
      value: "ghp_canary0123456789",
      destination: { ...destination, inject },
    });
    expect(status).toBe(422);
  });

  test("unless a reason is given, which stands in the receipts", async () => {
    const reason = "The integration needs a classic token, see ticket 1234";
    expect((await put("forge", key("https://api.github.com", { reason }))).status).toBe(201);
    expect(await receiptsOf("forge")).toEqual(["store-key answered"]);
    const { text } = await get("/v1/receipts?limit=100");
    expect(text).toContain(reason);
  });

  test("a client's secret is stored, but gets no rules", async () => {
    const destination = { origin: "https://slack.com", inject: { basic: { user: "acme" } }, rules: [] };
    expect((await put("slack-client", key("https://slack.com", { destination }))).status).toBe(201);
    const body = { rules: startBody("x").rules };
    const path = "/v1/credentials/slack-client/rules";
    const answer = await platform.api<Problem>("PUT", path, platform.token(), { body });
    expect([answer.status, answer.body.code]).toEqual([422, "delegation_available"]);
  });

  test("other providers are not touched", async () => {
    expect((await put("other", key(platform.destination.origin))).status).toBe(201);
  });
});

describe("a connection ends", () => {
  test("at the provider too, with a receipt", async () => {
    const saved: string[] = [];
    op.provider.on("refresh_token.saved", ({ jti }: { jti: string }) => void saved.push(jti));
    await connect("mail");
    expect(await op.provider.RefreshToken.find(saved.at(-1) ?? "")).toBeDefined();
    expect((await remove("mail")).body).toEqual({ name: "mail", isRevoked: true });
    expect(await op.provider.RefreshToken.find(saved.at(-1) ?? "")).toBeUndefined();
    expect((await get("/v1/connections/mail")).status).toBe(404);
    expect((await get("/v1/credentials/mail")).status).toBe(404);
    expect((await receiptsOf("mail")).at(-1)).toBe("revoke answered");
  });

  test("version numbers go on after it", async () => {
    await connect("mail");
    expect((await get<Credential>("/v1/credentials/mail")).body.version).toBeGreaterThan(1);
  });

  test("the providers that are known are listed", async () => {
    const { body } = await get<{ providers: { name: string }[] }>("/v1/connection-providers");
    expect(body.providers.map(({ name }) => name)).toEqual(["github", "google", "slack"]);
  });

  // The last test: the provider does not come back.
  test("a provider that is down is not told: nothing is deleted unless that is forced, and then it is marked", async () => {
    await op.down();
    const refused = await remove("calendar");
    expect([refused.status, refused.body.code]).toEqual([502, "destination_unreachable"]);
    expect((await get<Connection>("/v1/connections/calendar")).body.state).toBe("connected");
    const forced = await remove("calendar", "?force=true");
    expect(forced.body).toEqual({
      name: "calendar",
      isRevoked: false,
      detail: expect.stringMatching(/settings/),
    });
    expect((await get("/v1/credentials/calendar")).status).toBe(404);
    const { body } = await get<Connection>("/v1/connections/calendar");
    expect(body).toMatchObject({ state: "not_revoked", detail: expect.stringMatching(/settings/) });
    // A credential of the same name that is put since is not the connection's.
    const { origin } = platform.destination;
    const own = { origin, inject: { header: "X-Api-Key", format: "{}" }, rules: [] };
    const put = await platform.api("PUT", "/v1/credentials/calendar", platform.token(), {
      body: { purpose: "broker", destination: own, value: "a-key-of-their-own" },
    });
    expect(put.status, put.text).toBe(201);
    expect((await remove("calendar")).status).toBe(200);
    expect((await get("/v1/connections/calendar")).status).toBe(404);
    expect((await get("/v1/credentials/calendar")).status).toBe(200);
  });
});
