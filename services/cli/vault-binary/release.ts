import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createMessage, readKey, readSignature, verify } from "openpgp";
import { type Dispatcher, EnvHttpProxyAgent, request } from "undici";
import type { ProgressStep } from "../progress.ts";
import { unzipMember } from "./unzip.ts";
import { RECOMMENDED } from "./versions.ts";

/** The location and the signing key of a publisher's releases. */
export interface Release {
  /** URL of the product's folder, without a trailing slash. */
  url: string;
  /** The version to download, like `2.2.2`. */
  version: string;
  /** The publisher's PGP public key, armored; several copies of one key are concatenated. */
  publicKey: string;
  /** Maximum size of the archive and of the binary in it, in bytes. */
  archiveLimit: number;
  binaryLimit: number;
}

/** The recommended release of HashiCorp's Vault. */
export const HASHICORP_RELEASE: Release = {
  url: "https://releases.hashicorp.com/vault",
  version: RECOMMENDED.version,
  publicKey: readFileSync(new URL("./hashicorp.asc", import.meta.url), "utf8"),
  archiveLimit: 512 * 1024 * 1024,
  binaryLimit: 1024 * 1024 * 1024,
};

/** A release cannot be downloaded (`unavailable`), or is not what its publisher signed (`refused`). */
export class ReleaseError extends Error {
  override name = "ReleaseError";
  readonly reason: "unavailable" | "refused";

  constructor(reason: "unavailable" | "refused", message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

const CONNECT_TIMEOUT_MS = 5_000;
const SILENCE_TIMEOUT_MS = 20_000;
const TIMEOUT_MS = 20 * 60_000;
const SMALL_FILE_LIMIT = 64 * 1024;
const OPERATING_SYSTEMS: Partial<Record<NodeJS.Platform, string>> = { linux: "linux", darwin: "darwin" };
const ARCHITECTURES: Partial<Record<NodeJS.Architecture, string>> = { x64: "amd64", arm64: "arm64" };

/**
 * Downloads the official release for this machine into the empty `folder`, and resolves to the path of the binary
 * there. Before unpacking, it verifies the publisher's signature of the checksum list, and the archive's checksum
 * in that list. It follows no redirects.
 * @throws ReleaseError if it is unavailable or refused; the signal's reason when aborted
 */
export async function downloadRelease(
  release: Release,
  folder: string,
  options: { env: Record<string, string | undefined>; step: ProgressStep; signal?: AbortSignal | undefined },
): Promise<string> {
  const { env, step, signal } = options;
  const { version } = release;
  const system = OPERATING_SYSTEMS[process.platform];
  const architecture = ARCHITECTURES[process.arch];
  if (!system || !architecture) {
    throw new ReleaseError(
      "unavailable",
      `the publisher has no release for ${process.platform} on ${process.arch}`,
    );
  }
  const base = `${release.url}/${version}/vault_${version}`;
  const archiveName = `vault_${version}_${system}_${architecture}.zip`;
  const archive = join(folder, archiveName);
  const binary = join(folder, "vault");

  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const get: Get = {
    dispatcher: proxyAgent(env),
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  };
  try {
    const sums = await getSmall(get, `${base}_SHA256SUMS`);
    await verifySignature(sums, await getSmall(get, `${base}_SHA256SUMS.sig`), release.publicKey);
    const expected = findSum(sums.toString("utf8"), archiveName);
    await getFile(get, `${release.url}/${version}/${archiveName}`, archive, release.archiveLimit, step);
    step.update("verifying");
    if ((await sha256(archive)) !== expected) {
      throw new ReleaseError("refused", `${archiveName} does not have the checksum its publisher signed`);
    }
    step.update("unpacking");
    await unzipMember(archive, "vault", binary, release.binaryLimit).catch((error: Error) => {
      throw new ReleaseError("refused", `${archiveName}: ${error.message}`);
    });
    return binary;
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof ReleaseError
      ? error
      : new ReleaseError("unavailable", reason(error), { cause: error });
  } finally {
    await get.dispatcher.destroy();
  }
}

interface Get {
  dispatcher: Dispatcher;
  signal: AbortSignal;
}

/** Proxy settings come only from `env`; an empty string keeps undici from reading the process's environment. */
function proxyAgent(env: Record<string, string | undefined>): Dispatcher {
  return new EnvHttpProxyAgent({
    httpProxy: env.http_proxy ?? env.HTTP_PROXY ?? "",
    httpsProxy: env.https_proxy ?? env.HTTPS_PROXY ?? "",
    noProxy: env.no_proxy ?? env.NO_PROXY ?? "",
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: SILENCE_TIMEOUT_MS,
    bodyTimeout: SILENCE_TIMEOUT_MS,
  });
}

/** Opens a body of at most `limit` bytes. */
async function getBody(get: Get, url: string, limit: number): Promise<{ body: Readable; length: number }> {
  const { statusCode, headers, body } = await request(url, get);
  // The body of a refused response stays unread; closing the agent closes it.
  body.on("error", () => {});
  if (statusCode !== 200) throw new ReleaseError("unavailable", `${url}: answered ${statusCode}`);
  const length = Number(headers["content-length"] ?? 0);
  if (length > limit) throw tooLarge(url, limit);
  const bounded = async function* () {
    let received = 0;
    for await (const chunk of body) {
      received += chunk.length;
      if (received > limit) throw tooLarge(url, limit);
      yield chunk;
    }
  };
  return { body: Readable.from(bounded(), { objectMode: false }), length };
}

const tooLarge = (url: string, limit: number) =>
  new ReleaseError("refused", `${url}: is larger than ${limit} bytes`);

async function getSmall(get: Get, url: string): Promise<Buffer> {
  const { body } = await getBody(get, url, SMALL_FILE_LIMIT);
  return Buffer.concat(await body.toArray());
}

async function getFile(
  get: Get,
  url: string,
  path: string,
  limit: number,
  step: ProgressStep,
): Promise<void> {
  const { body, length } = await getBody(get, url, limit);
  const megabytes = (bytes: number) => Math.round(bytes / 1e6);
  const watched = async function* (chunks: AsyncIterable<Buffer>) {
    let received = 0;
    for await (const chunk of chunks) {
      received += chunk.length;
      step.update(`${megabytes(received)}${length ? ` of ${megabytes(length)}` : ""} MB`);
      yield chunk;
    }
  };
  await pipeline(body, watched, createWriteStream(path, { flags: "wx", mode: 0o600 }));
}

/** Accepts a signature that one of the key's copies accepts as of its signing time, even if it has expired since. */
async function verifySignature(data: Buffer, signature: Buffer, publicKey: string): Promise<void> {
  const blocks = publicKey.match(
    /-----BEGIN PGP PUBLIC KEY BLOCK-----.*?-----END PGP PUBLIC KEY BLOCK-----/gs,
  );
  const [first, ...others] = await Promise.all((blocks ?? []).map((armoredKey) => readKey({ armoredKey })));
  if (!first) throw new Error("the publisher's public key cannot be read");
  let key = first;
  for (const other of others) key = await key.update(other);
  try {
    const { signatures } = await verify({
      message: await createMessage({ binary: new Uint8Array(data) }),
      signature: await readSignature({ binarySignature: new Uint8Array(signature) }),
      verificationKeys: key,
    });
    await Promise.any(signatures.map((each) => each.verified));
  } catch (error) {
    throw new ReleaseError("refused", "the list of checksums is not signed by the publisher's key", {
      cause: error,
    });
  }
}

function findSum(sums: string, name: string): string {
  const found = sums.split("\n").filter((line) => line.endsWith(`  ${name}`));
  const sum = /^([0-9a-f]{64}) {2}/.exec(found[0] ?? "")?.[1];
  if (found.length !== 1 || !sum)
    throw new ReleaseError("refused", `the list of checksums does not have exactly one entry for ${name}`);
  return sum;
}

async function sha256(path: string): Promise<string> {
  const digest = createHash("sha256");
  await pipeline(createReadStream(path), digest);
  return digest.digest("hex");
}

function reason(error: unknown): string {
  const { code, message, cause } = error as NodeJS.ErrnoException & { cause?: NodeJS.ErrnoException };
  return [message, cause?.code ?? code].filter(Boolean).join(", ");
}
