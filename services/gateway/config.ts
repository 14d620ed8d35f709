import { createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Static, Type } from "typebox";
import { ConfigError, readSecretFile, SecretFile } from "../shared/config.ts";
import { LISTEN_PATTERN, LISTEN_SETTINGS } from "../shared/http/serve.ts";
import type { TlsIdentity } from "../shared/http/server.ts";
import { maxTokenLifetime } from "../shared/revocations/revocations.ts";
import type { LimitRates } from "./limits.ts";

const File = (description: string) =>
  Type.String({ minLength: 1, description: `${description} (path of a file)` });

/** The gateway's settings, by the names of their variables. None of them is a secret: it has none. */
export const Config = Type.Object({
  ...LISTEN_SETTINGS,
  STRONGROOM_SHARE_PORT: Type.Boolean({
    default: false,
    description: "Several gateways may listen on this port; the system shares its connections out (Linux)",
  }),
  STRONGROOM_DIRECTORY_URL: Type.String({
    pattern: "^https?://",
    description: "Where the control plane publishes the directory: …/v1/directory",
  }),
  STRONGROOM_DIRECTORY_KEY_FILE: File("PEM public key that directories are signed by"),
  STRONGROOM_OWNERSHIP_KEY_FILE: File("PEM public key that operators sign an organization's new owner by"),
  STRONGROOM_DIRECTORY_COPY: File("Where the last good directory is kept"),
  STRONGROOM_CA_FILE: File("PEM of the authority behind the organizations' certificates"),
  STRONGROOM_TLS_CERTIFICATE_FILE: Type.Optional(
    File("PEM of the gateway's certificate and those between it and its authority; without it, plain HTTP"),
  ),
  STRONGROOM_TLS_KEY_FILE: Type.Optional(SecretFile("PEM of the certificate's key")),
  STRONGROOM_REVOCATIONS_URL: Type.String({
    pattern: "^https?://",
    description: "Where the control plane publishes and takes revocations: …/v1/revocations",
  }),
  STRONGROOM_REVOCATIONS_COPY: File("Where the last good list of revocations is kept"),
  STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: maxTokenLifetime,
  STRONGROOM_MAX_LOGINS: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 10_000,
    description: "How many callers' Vault tokens are kept at most, each for 55 seconds",
  }),
  STRONGROOM_BEHIND_PROXY: Type.Boolean({
    default: false,
    description:
      "A caller's address is the last of X-Forwarded-For: only where a proxy that adds to it is the one way in",
  }),
  STRONGROOM_METRICS_LISTEN: Type.Optional(
    Type.String({
      pattern: LISTEN_PATTERN,
      description: "IPv4 address and port of the metrics, for Prometheus alone; without it there are none",
    }),
  ),
  STRONGROOM_ORG_LIMIT: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    default: 2_000,
    description: "Requests a second of one organization, twice as many at once; 0 for no limit",
  }),
  STRONGROOM_ADDRESS_LIMIT: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    default: 50,
    description:
      "Requests a second of one address without a good token, ten times as many at once; 0 for no limit",
  }),
});
export type Config = Static<typeof Config>;

/** The rates behind the two limits. */
export function limitRates(config: Config): LimitRates {
  const { STRONGROOM_ORG_LIMIT: org, STRONGROOM_ADDRESS_LIMIT: address } = config;
  return {
    org: org > 0 ? { perSecond: org, burst: 2 * org } : undefined,
    address: address > 0 ? { perSecond: address, burst: 10 * address } : undefined,
  };
}

/** The public key in the file that a setting names. Throws ConfigError if it holds none of ECDSA P-256. */
export function readPublicKey(path: string, setting: string): KeyObject {
  const pem = readPem(path, setting);
  let key: KeyObject | undefined;
  try {
    key = pem.includes("PRIVATE KEY") ? undefined : createPublicKey(pem);
  } catch {
    // told below
  }
  if (key?.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new ConfigError(`${setting}: ${path} holds no public key of ECDSA P-256`);
  }
  return key;
}

/** What the gateway shows to callers, where it is set. Throws ConfigError where half of it is. */
export function tlsIdentity({
  STRONGROOM_TLS_CERTIFICATE_FILE: certificate,
  STRONGROOM_TLS_KEY_FILE: key,
}: Config): TlsIdentity | undefined {
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    throw new ConfigError("STRONGROOM_TLS_CERTIFICATE_FILE and STRONGROOM_TLS_KEY_FILE go together");
  }
  return {
    cert: readPem(certificate, "STRONGROOM_TLS_CERTIFICATE_FILE"),
    key: readSecretFile(key, "STRONGROOM_TLS_KEY_FILE"),
  };
}

/** The certificate in the file. Throws ConfigError where it holds none. */
export function readCertificate(path: string): string {
  const pem = readPem(path, "STRONGROOM_CA_FILE");
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) {
    throw new ConfigError(`STRONGROOM_CA_FILE: ${path} holds no certificate`);
  }
  return pem;
}

function readPem(path: string, setting: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`${setting}: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`);
  }
}
