import { createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { type Static, Type } from "typebox";
import { ConfigError, readSecretFile, SecretFile } from "../config.ts";
import type { TlsIdentity } from "../http/server.ts";
import type { LimitRates } from "./limits.ts";
import { DirectorySource } from "./published/directory-source.ts";
import { RevocationSource } from "./published/revocation-source.ts";
import { maxTokenLifetime } from "./published/revocations.ts";

/** A setting that is the path of a file with nothing secret in it. */
export const File = (description: string) =>
  Type.String({ minLength: 1, description: `${description} (path of a file)` });

/** The settings of every internet-facing service: published documents, TLS, limits. */
export const FRONT_SETTINGS = {
  STRONGROOM_DIRECTORY_URL: Type.String({
    pattern: "^https?://",
    description: "The control plane's URL of the directory: …/v1/directory",
  }),
  STRONGROOM_DIRECTORY_KEY_FILE: File("PEM public key that verifies directories and revocation lists"),
  STRONGROOM_OWNERSHIP_KEY_FILE: File(
    "PEM public key that verifies operators' statements of an organization's owner",
  ),
  STRONGROOM_DIRECTORY_COPY: File("Copy of the last good directory, used until a newer one is fetched"),
  STRONGROOM_REVOCATIONS_URL: Type.String({
    pattern: "^https?://",
    description: "The control plane's URL to fetch and add revocations: …/v1/revocations",
  }),
  STRONGROOM_REVOCATIONS_COPY: File(
    "Copy of the last good revocation list, used until a newer one is fetched",
  ),
  STRONGROOM_TLS_CERTIFICATE_FILE: Type.Optional(
    File("PEM certificate of this service, followed by its intermediates; without it, plain HTTP"),
  ),
  STRONGROOM_TLS_KEY_FILE: Type.Optional(SecretFile("PEM private key of this service's certificate")),
  STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: maxTokenLifetime,
  STRONGROOM_BEHIND_PROXY: Type.Boolean({
    default: false,
    description:
      "Take a client's IP address from the last entry of X-Forwarded-For. Set it only if every request comes through a proxy that appends that entry",
  }),
  STRONGROOM_ORG_LIMIT: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    default: 2_000,
    description: "Requests per second for one organization, with a burst of twice as many; 0 for no limit",
  }),
  STRONGROOM_ADDRESS_LIMIT: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    default: 50,
    description:
      "Failed or unauthenticated requests per second from one IP address, with a burst of ten times as many; 0 for no limit",
  }),
};
const FrontSettings = Type.Object(FRONT_SETTINGS);
type FrontSettings = Static<typeof FrontSettings>;

/** The rates behind the two limits. */
export function limitRates(
  config: Pick<FrontSettings, "STRONGROOM_ORG_LIMIT" | "STRONGROOM_ADDRESS_LIMIT">,
): LimitRates {
  const { STRONGROOM_ORG_LIMIT: org, STRONGROOM_ADDRESS_LIMIT: address } = config;
  return {
    org: org > 0 ? { perSecond: org, burst: 2 * org } : undefined,
    address: address > 0 ? { perSecond: address, burst: 10 * address } : undefined,
  };
}

/** The service's certificate and key; undefined if neither is set. Throws ConfigError if only one is. */
export function tlsIdentity(
  config: Pick<FrontSettings, "STRONGROOM_TLS_CERTIFICATE_FILE" | "STRONGROOM_TLS_KEY_FILE">,
): TlsIdentity | undefined {
  const { STRONGROOM_TLS_CERTIFICATE_FILE: certificate, STRONGROOM_TLS_KEY_FILE: key } = config;
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    throw new ConfigError("STRONGROOM_TLS_CERTIFICATE_FILE and STRONGROOM_TLS_KEY_FILE: set both or neither");
  }
  return {
    cert: readPem(certificate, "STRONGROOM_TLS_CERTIFICATE_FILE"),
    key: readSecretFile(key, "STRONGROOM_TLS_KEY_FILE"),
  };
}

/** The settings by which a service has what the control plane publishes. */
export type PublishedSettings = Pick<
  FrontSettings,
  | "STRONGROOM_DIRECTORY_URL"
  | "STRONGROOM_DIRECTORY_KEY_FILE"
  | "STRONGROOM_OWNERSHIP_KEY_FILE"
  | "STRONGROOM_DIRECTORY_COPY"
  | "STRONGROOM_REVOCATIONS_URL"
  | "STRONGROOM_REVOCATIONS_COPY"
  | "STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS"
>;

/** What the control plane publishes for services that verify callers. */
export interface PublishedSources {
  directory: DirectorySource;
  revocations: RevocationSource;
  /** Loads the copies on disk, fetches once, and polls from then on until `close`. */
  start(): Promise<void>;
  close(): void;
}

/** The directory and the revocations that the settings name. Throws ConfigError. */
export function publishedSources(config: PublishedSettings, logger: Logger): PublishedSources {
  const key = readPublicKey(config.STRONGROOM_DIRECTORY_KEY_FILE, "STRONGROOM_DIRECTORY_KEY_FILE");
  const ownership = readPublicKey(config.STRONGROOM_OWNERSHIP_KEY_FILE, "STRONGROOM_OWNERSHIP_KEY_FILE");
  const directory = new DirectorySource({
    url: config.STRONGROOM_DIRECTORY_URL,
    keys: { directory: key, ownership },
    copy: config.STRONGROOM_DIRECTORY_COPY,
    logger,
  });
  const revocations = new RevocationSource({
    url: config.STRONGROOM_REVOCATIONS_URL,
    key,
    copy: config.STRONGROOM_REVOCATIONS_COPY,
    maxTokenLifetimeSeconds: config.STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS,
    logger,
  });
  const polled = [revocations, directory];
  return {
    directory,
    revocations,
    async start() {
      await Promise.all(
        polled.map(async (each) => {
          await each.loadCopy();
          await each.refresh();
          each.poll();
        }),
      );
    },
    close() {
      for (const each of polled) each.close();
    },
  };
}

/** The public key in the file that a setting names. Throws ConfigError if it holds no ECDSA P-256 public key. */
function readPublicKey(path: string, setting: string): KeyObject {
  const pem = readPem(path, setting);
  let key: KeyObject | undefined;
  try {
    key = pem.includes("PRIVATE KEY") ? undefined : createPublicKey(pem);
  } catch {
    // refused below
  }
  if (key?.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new ConfigError(`${setting}: ${path} does not contain an ECDSA P-256 public key (PEM)`);
  }
  return key;
}

/** The text of the file that a setting names. Throws ConfigError if it cannot be read. */
export function readPem(path: string, setting: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`${setting}: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`);
  }
}
