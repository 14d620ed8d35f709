import { createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Static, Type } from "typebox";
import { ConfigError, readSecretFile, SecretFile } from "../shared/config.ts";
import type { LimitRates } from "../shared/front/limits.ts";
import { maxTokenLifetime } from "../shared/front/published/revocations.ts";
import { LISTEN_PATTERN, LISTEN_SETTINGS } from "../shared/http/serve.ts";
import type { TlsIdentity } from "../shared/http/server.ts";

const File = (description: string) =>
  Type.String({ minLength: 1, description: `${description} (path of a file)` });

/** The gateway's settings, by environment variable. */
export const Config = Type.Object({
  ...LISTEN_SETTINGS,
  STRONGROOM_SHARE_PORT: Type.Boolean({
    default: false,
    description: "Let several gateways listen on this port (SO_REUSEPORT); Linux distributes the connections",
  }),
  STRONGROOM_DIRECTORY_URL: Type.String({
    pattern: "^https?://",
    description: "The control plane's URL of the directory: …/v1/directory",
  }),
  STRONGROOM_DIRECTORY_KEY_FILE: File("PEM public key that verifies directories and revocation lists"),
  STRONGROOM_OWNERSHIP_KEY_FILE: File(
    "PEM public key that verifies operators' statements of an organization's owner",
  ),
  STRONGROOM_DIRECTORY_COPY: File("Copy of the last good directory, used until a newer one is fetched"),
  STRONGROOM_CA_FILE: File(
    "PEM certificate of the authority that issues the organizations' server certificates",
  ),
  STRONGROOM_TLS_CERTIFICATE_FILE: Type.Optional(
    File("PEM certificate of the gateway, followed by its intermediates; without it, plain HTTP"),
  ),
  STRONGROOM_TLS_KEY_FILE: Type.Optional(SecretFile("PEM private key of the gateway's certificate")),
  STRONGROOM_REVOCATIONS_URL: Type.String({
    pattern: "^https?://",
    description: "The control plane's URL to fetch and add revocations: …/v1/revocations",
  }),
  STRONGROOM_REVOCATIONS_COPY: File(
    "Copy of the last good revocation list, used until a newer one is fetched",
  ),
  STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: maxTokenLifetime,
  STRONGROOM_MAX_LOGINS: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 10_000,
    description: "Maximum number of callers' Vault tokens kept in memory, each for at most 55 seconds",
  }),
  STRONGROOM_BEHIND_PROXY: Type.Boolean({
    default: false,
    description:
      "Take a client's IP address from the last entry of X-Forwarded-For. Set it only if every request comes through a proxy that appends that entry",
  }),
  STRONGROOM_METRICS_LISTEN: Type.Optional(
    Type.String({
      pattern: LISTEN_PATTERN,
      description: "IPv4 address and port that serve metrics, for Prometheus only; without it, no metrics",
    }),
  ),
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

/** The public key in the file that a setting names. Throws ConfigError if it holds no ECDSA P-256 public key. */
export function readPublicKey(path: string, setting: string): KeyObject {
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

/** The gateway's certificate and key; undefined if neither is set. Throws ConfigError if only one is. */
export function tlsIdentity({
  STRONGROOM_TLS_CERTIFICATE_FILE: certificate,
  STRONGROOM_TLS_KEY_FILE: key,
}: Config): TlsIdentity | undefined {
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    throw new ConfigError("STRONGROOM_TLS_CERTIFICATE_FILE and STRONGROOM_TLS_KEY_FILE: set both or neither");
  }
  return {
    cert: readPem(certificate, "STRONGROOM_TLS_CERTIFICATE_FILE"),
    key: readSecretFile(key, "STRONGROOM_TLS_KEY_FILE"),
  };
}

/** The certificate in the file. Throws ConfigError if it holds none. */
export function readCertificate(path: string): string {
  const pem = readPem(path, "STRONGROOM_CA_FILE");
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) {
    throw new ConfigError(`STRONGROOM_CA_FILE: ${path} does not contain a certificate (PEM)`);
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
