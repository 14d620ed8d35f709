import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { CompactSign } from "jose";
import { DIRECTORY_TYP, type Directory } from "../../services/shared/directory/directory.ts";

/** A key that signs directories, as the internal Vault's transit key does. */
export interface DirectoryKey {
  publicKey: KeyObject;
  publicPem: string;
  sign(directory: unknown, header?: Record<string, unknown>): Promise<string>;
}

export function newDirectoryKey(): DirectoryKey {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    publicKey,
    publicPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
    sign: (directory, header = {}) =>
      new CompactSign(Buffer.from(JSON.stringify(directory)))
        .setProtectedHeader({ alg: "ES256", typ: DIRECTORY_TYP, ...header })
        .sign(privateKey),
  };
}

/** What a control plane does for gateways: publishes a directory, as an answer with its version as ETag. */
export interface DirectoryServer {
  url: string;
  /** Requests answered, by status. */
  answers: number[];
  /** What is served from now on. */
  publish(directory: Directory | string): Promise<void>;
  /** Stops answering; connections are refused. */
  close(): Promise<void>;
}

export async function startDirectoryServer(key: DirectoryKey): Promise<DirectoryServer> {
  let jws = "";
  let etag = "";
  let published = 0;
  const answers: number[] = [];
  const server = createServer((request, response) => {
    const status = jws === "" ? 503 : request.headers["if-none-match"] === etag ? 304 : 200;
    answers.push(status);
    response.writeHead(status, { "Content-Type": "application/jose", ETag: etag, Connection: "close" });
    response.end(status === 200 ? jws : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/directory`,
    answers,
    async publish(directory) {
      jws = typeof directory === "string" ? directory : await key.sign(directory);
      etag = `"${++published}"`;
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
