import { createHash } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { deflateRawSync } from "node:zlib";
import { createMessage, generateKey, type PrivateKey, sign } from "openpgp";
import type { Release } from "../../services/cli/vault-binary/release.ts";

/** A publisher of releases: an HTTP server with a signing key of its own. */
export interface ReleaseServer {
  /** What the product under test is told of it. */
  release: Release;
  /** What is served, by file name; change it to serve something else. */
  files: Map<string, Uint8Array | ((response: ServerResponse) => void)>;
  /** Name of the archive for this machine. */
  archive: string;
  /** Names of the files asked for, in order. */
  requests: string[];
  /** Serves the list of checksums for the archive as it is now, signed by `key`, its own by default. */
  publish(key?: PrivateKey, date?: Date): Promise<void>;
  close(): Promise<void>;
}

/** Serves one release that holds `members`, properly signed. */
export async function startReleaseServer(
  version: string,
  members: Record<string, string | Uint8Array>,
): Promise<ReleaseServer> {
  const { privateKey, publicKey } = await newKey();
  const system = { linux: "linux", darwin: "darwin" }[process.platform as string];
  const architecture = { x64: "amd64", arm64: "arm64" }[process.arch as string];
  const archive = `vault_${version}_${system}_${architecture}.zip`;
  const sums = `vault_${version}_SHA256SUMS`;
  const files: ReleaseServer["files"] = new Map([[archive, zip(members)]]);
  const requests: string[] = [];

  const server = createServer((request, response) => {
    const name = request.url?.replace(`/vault/${version}/`, "") ?? "";
    requests.push(name);
    const file = files.get(name);
    if (typeof file === "function") file(response);
    else if (file) response.end(file);
    else response.writeHead(404).end("no such file");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/vault`;

  const own = privateKey;
  const publish = async (key = own, date = new Date()) => {
    const body = files.get(archive);
    const digest = createHash("sha256")
      .update(body instanceof Uint8Array ? body : "")
      .digest("hex");
    const text = `${"0".repeat(64)}  vault_${version}_plan9_mips.zip\n${digest}  ${archive}\n`;
    files.set(sums, Buffer.from(text));
    files.set(`${sums}.sig`, await signature(text, key, date));
  };
  await publish();
  return {
    release: { url, version, publicKey, archiveLimit: 1_000_000, binaryLimit: 1_000_000 },
    files,
    archive,
    requests,
    publish,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A new signing key. */
export async function newKey(
  options: { date?: Date; keyExpirationTime?: number } = {},
): Promise<{ privateKey: PrivateKey; publicKey: string }> {
  const { privateKey, publicKey } = await generateKey({
    userIDs: [{ name: "Publisher of tests" }],
    format: "object",
    ...options,
  });
  return { privateKey, publicKey: publicKey.armor() };
}

/** A detached signature of a text, in binary. */
export async function signature(text: string, key: PrivateKey, date = new Date()): Promise<Uint8Array> {
  const message = await createMessage({ binary: new TextEncoder().encode(text) });
  return await sign({ message, signingKeys: key, detached: true, format: "binary", date });
}

/** A zip archive. `lie` changes what the directory says of each member's length. */
export function zip(members: Record<string, string | Uint8Array>, lie = 0): Buffer {
  const local: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(members)) {
    const data = Buffer.from(content);
    const packed = deflateRawSync(data);
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50, 0);
    header.writeUInt16LE(8, 8);
    header.writeUInt16LE(name.length, 26);
    local.push(header, Buffer.from(name), packed);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(8, 10);
    entry.writeUInt32LE(packed.length, 20);
    entry.writeUInt32LE(data.length + lie, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(offset, 42);
    directory.push(entry, Buffer.from(name));
    offset += 30 + name.length + packed.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...local, listing, end]);
}
