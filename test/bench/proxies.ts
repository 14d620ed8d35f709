import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { end } from "../harness/gateway-process.ts";
import { freeListen } from "../harness/vault.ts";
import { onCore } from "./cores.ts";

/** What a gateway is held against: it forwards to a Vault over TLS, and checks nothing. */
export interface PlainProxy {
  name: string;
  port: number;
  pid: number;
}

export interface Upstream {
  /** https://… */
  address: string;
  /** The name in its certificate. */
  serverName: string;
  caFile: string;
}

export interface ProxiesOptions {
  /** For their configuration. */
  folder: string;
  /** All of them run on this one. */
  core: number;
  vaultBinary: string;
  upstream: Upstream;
}

/** Where haproxy is, if it is installed. */
export const HAPROXY = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].find(existsSync);
/** How each haproxy here begins its configuration. */
export const HAPROXY_DEFAULTS = `global
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 10s
`;
const BARE = fileURLToPath(new URL("bare.ts", import.meta.url));

/** Starts Vault's proxy mode, haproxy where it is installed, and the least that Node can do (bare.ts). */
export async function startProxies(
  options: ProxiesOptions,
): Promise<{ proxies: PlainProxy[]; stop(): Promise<void> }> {
  const { folder, core, vaultBinary, upstream } = options;
  const { address, serverName, caFile } = upstream;
  const { host } = new URL(address);
  const children: ChildProcess[] = [];
  const proxies: PlainProxy[] = [];

  function start(name: string, port: number, command: string, args: string[]): void {
    const child = spawn(...onCore(core, command, args), {
      env: { PATH: "/usr/bin:/bin", HOME: folder },
      stdio: ["ignore", "ignore", "inherit"],
    });
    children.push(child);
    if (!child.pid) throw new Error(`${command} could not be started`);
    proxies.push({ name, port, pid: child.pid });
  }
  const freePort = async () => Number((await freeListen()).split(":")[1]);
  const configuration = async (name: string, text: string) => {
    const path = join(folder, name);
    await writeFile(path, text);
    return path;
  };

  const vaults = await freePort();
  const proxyFile = await configuration(
    "proxy.json",
    JSON.stringify({
      vault: { address, ca_cert: caFile, tls_server_name: serverName },
      api_proxy: {},
      log_level: "error",
      listener: { tcp: { address: `127.0.0.1:${vaults}`, tls_disable: true } },
    }),
  );
  start("vault proxy", vaults, vaultBinary, ["proxy", `-config=${proxyFile}`]);

  if (HAPROXY) {
    const port = await freePort();
    const tls = `ssl verify required ca-file ${caFile} sni str(${serverName}) verifyhost ${serverName}`;
    const file = await configuration(
      "haproxy.cfg",
      `${HAPROXY_DEFAULTS}
frontend in
  bind 127.0.0.1:${port}
  default_backend vault
backend vault
  http-reuse always
  server acme ${host} ${tls}
`,
    );
    start("haproxy", port, HAPROXY, ["-db", "-f", file]);
  }

  const bare = await freePort();
  start("node alone", bare, process.execPath, [BARE, String(bare), address, serverName, caFile]);
  return { proxies, stop: async () => void (await Promise.all(children.map(end))) };
}
