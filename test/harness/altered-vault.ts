import { spawn } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { fileURLToPath } from "node:url";

/** A real Vault that something of is missing or renamed, as in a release that nobody here has tried. */
export interface Alteration {
  /** The real one. */
  binary: string;
  /** What it says its version is. */
  version: string;
  /** Requests whose path begins so are answered 404; at a server without TLS. */
  refuses?: string;
  /** A setting of the listener that it does not know. */
  unknownSetting?: string;
  /** A member of the configuration that it does not have. */
  drops?: string;
}

/** Writes a program that runs as such a Vault. */
export function writeAlteredVault(path: string, alteration: Alteration): string {
  const script = fileURLToPath(import.meta.url);
  const quoted = [process.execPath, script, JSON.stringify(alteration)].map((word) => `'${word}'`).join(" ");
  writeFileSync(path, `#!/bin/sh\nexec ${quoted} "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

interface Config extends Record<string, unknown> {
  listener: { tcp: Record<string, unknown> & { address: string } };
}

function serve({ binary, refuses, unknownSetting, drops }: Alteration, args: string[]): void {
  const file = args[1]?.replace("-config=", "") ?? "";
  const config: Config = JSON.parse(readFileSync(file, "utf8"));
  const tcp = config.listener?.tcp;
  if (drops) delete config[drops];
  if (tcp && unknownSetting) tcp[unknownSetting] = 1;
  if (tcp?.tls_disable && refuses) {
    const [host = "", port = ""] = tcp.address.split(":");
    const behind = { host, port: Number(port) + 2 };
    tcp.address = `${behind.host}:${behind.port}`;
    createServer((asked, answer) => {
      if (asked.url?.startsWith(refuses)) {
        answer.writeHead(404, { "content-type": "application/json" }).end('{"errors":["unsupported path"]}');
        return;
      }
      const { method, url: path, headers } = asked;
      const passed = request({ ...behind, method, path, headers }, (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
      });
      passed.on("error", () => answer.destroy());
      asked.pipe(passed);
    }).listen(Number(port), host);
  }
  writeFileSync(file, JSON.stringify(config));
  spawn(binary, args, { stdio: "inherit" }).on("exit", (code) => process.exit(code ?? 1));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const alteration: Alteration = JSON.parse(process.argv[2] ?? "{}");
  const args = process.argv.slice(3);
  if (args[0] === "server") serve(alteration, args);
  else process.stdout.write(`Vault v${alteration.version} (0123456), built 2026-11-12T10:00:00Z\n`);
}
