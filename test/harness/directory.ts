import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { CompactSign } from "jose";
import { DIRECTORY_TYP, type Directory } from "../../services/shared/directory/directory.ts";
import { OWNERSHIP_TYP } from "../../services/shared/directory/ownership.ts";
import type { DirectoryKeys } from "../../services/shared/directory/verify.ts";
import { REVOCATIONS_TYP, type RevocationList } from "../../services/shared/revocations/revocations.ts";

/** A key that signs directories and one that signs statements, as the internal Vault's transit keys do. */
export interface DirectoryKey {
  publicKey: KeyObject;
  publicPem: string;
  ownershipPem: string;
  /** Both public keys, as gateways are given them. */
  keys: DirectoryKeys;
  sign(directory: unknown, header?: Record<string, unknown>): Promise<string>;
  signRevocations(list: unknown): Promise<string>;
  signOwnership(ownership: unknown, header?: Record<string, unknown>): Promise<string>;
}

export function newDirectoryKey(): DirectoryKey {
  const [directory, ownership] = [newSigner(), newSigner()];
  const { publicKey } = directory;
  return {
    publicKey,
    publicPem: directory.pem,
    ownershipPem: ownership.pem,
    keys: { directory: publicKey, ownership: ownership.publicKey },
    sign: (value, header) => directory.sign(value, { typ: DIRECTORY_TYP, ...header }),
    signRevocations: (list) => directory.sign(list, { typ: REVOCATIONS_TYP }),
    signOwnership: (value, header) => ownership.sign(value, { typ: OWNERSHIP_TYP, ...header }),
  };
}

function newSigner() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    publicKey,
    pem: publicKey.export({ type: "spki", format: "pem" }).toString(),
    sign: (value: unknown, header: Record<string, unknown>) =>
      new CompactSign(Buffer.from(JSON.stringify(value)))
        .setProtectedHeader({ alg: "ES256", ...header })
        .sign(privateKey),
  };
}

/** What a control plane does for gateways: publishes a directory and the revocations, each under an ETag. */
export interface DirectoryServer {
  url: string;
  revocationsUrl: string;
  /** Requests for the directory answered, by status. */
  answers: number[];
  /** What is served from now on. */
  publish(directory: Directory | string): Promise<void>;
  /** The same for the revocations; at first there is a list without any. */
  publishRevocations(list: RevocationList | string): Promise<void>;
  /** The revocations that were asked for, and how they are answered. */
  asked: unknown[];
  askedStatus: number;
  /** Stops answering; connections are refused. */
  close(): Promise<void>;
}

export async function startDirectoryServer(
  key: Pick<DirectoryKey, "sign" | "signRevocations">,
): Promise<DirectoryServer> {
  const served = { "/v1/directory": { jws: "", etag: "" }, "/v1/revocations": { jws: "", etag: "" } };
  let published = 0;
  const server = createServer(async (request, response) => {
    response.setHeader("Connection", "close");
    if (request.method === "POST") {
      self.asked.push(JSON.parse((await request.toArray()).join("")));
      return response.writeHead(self.askedStatus).end();
    }
    const { jws, etag } = served[request.url as keyof typeof served];
    const status = jws === "" ? 503 : request.headers["if-none-match"] === etag ? 304 : 200;
    if (request.url === "/v1/directory") self.answers.push(status);
    response.writeHead(status, { "Content-Type": "application/jose", ETag: etag });
    return response.end(status === 200 ? jws : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const self: DirectoryServer = {
    url: `${address}/v1/directory`,
    revocationsUrl: `${address}/v1/revocations`,
    answers: [],
    asked: [],
    askedStatus: 204,
    async publish(directory) {
      const jws = typeof directory === "string" ? directory : await key.sign(directory);
      served["/v1/directory"] = { jws, etag: `"${++published}"` };
    },
    async publishRevocations(list) {
      const jws = typeof list === "string" ? list : await key.signRevocations(list);
      served["/v1/revocations"] = { jws, etag: `"${++published}"` };
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  await self.publishRevocations({ version: 1, maxTokenLifetimeSeconds: 7 * 24 * 3600, orgs: [] });
  return self;
}
