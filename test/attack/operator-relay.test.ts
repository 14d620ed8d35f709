import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer as createHttpsServer, type Server as HttpsServer } from "node:https";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { Agent, request as send } from "undici";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { runStrongroom } from "../../services/cli/program.ts";
import type { OrgView } from "../../services/shared/api/orgs.ts";
import { orgServerName } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import {
  type VaultClient,
  type VaultEndpoint,
  type VaultError,
  vaultClient,
} from "../../services/shared/vault/client.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import { type Platform, startPlatform } from "../harness/platform.ts";

/**
 * A thief of the control plane's login waits for an operator's routine command. The login writes the address
 * in the registry and issues a certificate of the organization's name, so the command talks to the thief,
 * who passes on what is of use, answers what is wanted, and keeps whatever might open the real Vault.
 */
let folder: string;
let platform: Platform;
let acme: OrgView;
let login: VaultClient;
let certificate: Awaited<ReturnType<typeof issueOrgCertificate>>;
/** Where acme's Vault really is. */
let real: VaultEndpoint;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-relay-"));
  platform = await startPlatform({ stateDir: folder });
  acme = await platform.createOrg("acme", "org_acme");
  const stolen = async (name: string) =>
    new Secret((await readFile(join(folder, "control-plane", name), "utf8")).trim());
  const internal = { address: platform.internalVault };
  const held = appRoleLogin(internal, {
    roleId: await stolen("role-id"),
    secretId: await stolen("secret-id"),
  });
  login = vaultClient(internal, held.token);
  certificate = await issueOrgCertificate(login, acme.id, 3600);
  const ca = await readFile(join(folder, "gateway", "ca.pem"), "utf8");
  real = { address: `https://${acme.listen}`, ca, serverName: orgServerName(acme.id) };
  await writeSecret();
  // Held, so that acme's Vault stays where it is while the registry says otherwise.
  process.kill(await platform.servicePid("agent"), "SIGSTOP");
});
afterAll(async () => {
  if (platform) process.kill(await platform.servicePid("agent"), "SIGCONT");
  await platform?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function writeSecret(): Promise<void> {
  const response = await fetch(`${platform.gateway}/v1/secret/data/app/db`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${await platform.token({ org: "org_acme", groups: ["writer"] })}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ data: { password: "acme's own" } }),
  });
  expect(response.status).toBe(200);
}

/** What a request was, and what came back for it from the real Vault. */
interface Caught {
  method: string;
  url: string;
  body: string;
  token: string | undefined;
  answer: string;
}

/** How the thief treats the n-th connection to it, from 0. */
type Treatment = "take" | { passOn: "whole" | number };

class Thief {
  caught: Caught[] = [];
  /** PEM of the certificates that callers have shown. */
  shown: string[] = [];
  connections = 0;
  treat: (n: number) => Treatment = () => "take";
  readonly #upstream: Agent;
  readonly #inside: HttpsServer;
  readonly #front: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    const { certificate: cert, key } = certificate;
    // The organization's authority signed it; the thief tries it as a client's certificate, too.
    this.#upstream = new Agent({
      connect: { ca: real.ca, servername: real.serverName, cert, key: key.reveal() } as never,
    });
    this.#inside = createHttpsServer(
      { cert, key: key.reveal(), requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const chunks: Buffer[] = [];
        request.on("data", (chunk) => chunks.push(chunk));
        request.on("end", async () => {
          const { method = "", url = "", headers } = request;
          const token = headers["x-vault-token"]?.toString();
          const body = Buffer.concat(chunks).toString();
          const { status, answer } = await this.ask(method, url, body, token);
          this.caught.push({ method, url, body, token, answer });
          const text = status < 300 ? answer : made(url);
          response.writeHead(200, { "content-type": "application/json" }).end(text);
        });
      },
    );
    this.#inside.on("secureConnection", (socket) => {
      const raw = socket.getPeerCertificate()?.raw;
      if (raw)
        this.shown.push(`-----BEGIN CERTIFICATE-----\n${raw.toString("base64")}\n-----END CERTIFICATE-----`);
    });
    this.#front = createServer((socket) => this.#accept(socket));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#front.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(this.#front.address() as AddressInfo).port}`;
  }

  #accept(socket: Socket): void {
    const how = this.treat(this.connections++);
    this.#keep(socket);
    if (how === "take") {
      this.#inside.emit("connection", socket);
      return;
    }
    const [host = "", port] = new URL(real.address).host.split(":");
    const onward = connect(Number(port), host);
    this.#keep(onward);
    let answers = 0;
    socket.pipe(onward);
    onward.on("data", (chunk) => {
      socket.write(chunk);
      if (typeof how.passOn === "number" && ++answers >= how.passOn) {
        socket.end();
        onward.destroy();
      }
    });
    onward.on("close", () => socket.end());
    socket.on("close", () => onward.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }

  /** Asks the real Vault, as itself. */
  async ask(
    method: string,
    url: string,
    body: string,
    token?: string,
  ): Promise<{ status: number; answer: string }> {
    const { statusCode, body: answer } = await send(`${real.address}${url}`, {
      dispatcher: this.#upstream,
      method: method as "GET",
      headers: {
        ...(token && { "x-vault-token": token }),
        ...(body && { "content-type": "application/json" }),
      },
      ...(body && { body }),
    });
    return { status: statusCode, answer: await answer.text() };
  }

  /** Every token that may be worth something: those sent here, and those got for what was sent here. */
  async tokens(): Promise<string[]> {
    const logins = this.caught.filter(({ url }) => url.endsWith("/login"));
    const again = await Promise.all(logins.map(({ url, body }) => this.ask("POST", url, body)));
    const answers = [...this.caught, ...again].map(({ answer }) => tokenIn(answer));
    const sent = this.caught.map(({ token }) => token);
    return [...new Set([...answers, ...sent])].filter((token) => token !== undefined);
  }

  /** Whether a token opens acme's secrets, if need be by changing its own policy first. */
  async opens(token: string): Promise<boolean> {
    const policy = 'path "secret/*" { capabilities = ["read"] }';
    await this.ask("POST", "/v1/sys/policies/acl/platform-maintain", JSON.stringify({ policy }), token);
    const { status } = await this.ask("GET", "/v1/secret/data/app/db", "", token);
    return status === 200;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#front.close(resolve));
    await this.#upstream.close();
  }
}

const tokenIn = (answer: string): string | undefined =>
  (JSON.parse(answer || "{}") as { auth?: { client_token?: string } }).auth?.client_token;

/** What the thief answers where the real Vault refuses. */
const made = (url: string): string =>
  url.endsWith("/login")
    ? JSON.stringify({ auth: { client_token: "hvs.of-the-thief", lease_duration: 60 } })
    : JSON.stringify({ data: {} });

let thief: Thief;
beforeEach(async () => {
  thief = new Thief();
  const listen = await thief.listen();
  const path = `registry/data/orgs/${acme.id}`;
  const { data } = (await login.read(path)) as { data: { data: object; metadata: { version: number } } };
  await login.write(path, { data: { ...data.data, listen }, options: { cas: data.metadata.version } });
  return () => thief.close();
});

const repair = () =>
  runStrongroom(
    ["org", "repair", "acme", "--state", folder],
    { PATH: process.env.PATH },
    new PassThrough(),
    new PassThrough(),
  );

async function expectNothingOpens(): Promise<void> {
  for (const token of await thief.tokens()) expect(await thief.opens(token)).toBe(false);
}

test("who answers in the Vault's place, and passes on what comes, is let in by nothing of it", async () => {
  await repair();
  expect(thief.caught.map(({ url }) => url)).toContain("/v1/auth/platform-maintain/login");
  await expectNothingOpens();
});

test("who lets the login pass to the real Vault, and then takes over, gets no token of it", async () => {
  for (const passOn of [2, 3, 4, 5, 6] as const) {
    thief.treat = (n) => (n === 0 ? { passOn } : "take");
    thief.connections = 0;
    await repair();
    expect(thief.connections).toBeGreaterThan(0);
  }
  await expectNothingOpens();
});

test("who lets the first connection pass whole, and takes each one beside it, gets no token of it", async () => {
  thief.treat = (n) => (n === 0 ? { passOn: "whole" } : "take");
  expect(await repair()).toBe(0);
  await expectNothingOpens();
});

test("the organization's certificate, which the login can issue, logs nobody in as an operator", async () => {
  const { status } = await thief.ask("POST", "/v1/auth/platform-maintain/login", "{}");
  expect(status).toBe(400);
  for (const name of ["org-client", "org-vault"]) {
    const sign = login.write(`pki-platform-maintain/sign/${name}`, { csr: "x", common_name: acme.id });
    await expect(sign).rejects.toMatchObject({ status: 403 } satisfies Partial<VaultError>);
  }
});
