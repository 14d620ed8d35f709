import { type Static, Type } from "typebox";
import { ConfigError } from "../shared/config.ts";
import { File, FRONT_SETTINGS, readPem } from "../shared/front/front-settings.ts";
import { LISTEN_PATTERN, LISTEN_SETTINGS } from "../shared/http/serve.ts";

/** The gateway's settings, by environment variable. */
export const Config = Type.Object({
  ...LISTEN_SETTINGS,
  STRONGROOM_SHARE_PORT: Type.Boolean({
    default: false,
    description: "Let several gateways listen on this port (SO_REUSEPORT); Linux distributes the connections",
  }),
  ...FRONT_SETTINGS,
  STRONGROOM_CA_FILE: File(
    "PEM certificate of the authority that issues the organizations' server certificates",
  ),
  STRONGROOM_MAX_LOGINS: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 10_000,
    description: "Maximum number of callers' Vault tokens kept in memory, each for at most 55 seconds",
  }),
  STRONGROOM_METRICS_LISTEN: Type.Optional(
    Type.String({
      pattern: LISTEN_PATTERN,
      description: "IPv4 address and port that serve metrics, for Prometheus only; without it, no metrics",
    }),
  ),
});
export type Config = Static<typeof Config>;

/** The certificate in the file. Throws ConfigError if it holds none. */
export function readCertificate(path: string): string {
  const pem = readPem(path, "STRONGROOM_CA_FILE");
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) {
    throw new ConfigError(`STRONGROOM_CA_FILE: ${path} does not contain a certificate (PEM)`);
  }
  return pem;
}
