import { type Static, Type } from "typebox";
import { ConfigError, readConfig, SecretFile } from "../shared/config.ts";
import { KeySetting, keyProviderSettings } from "../shared/envelope/key-settings.ts";
import { File, FRONT_SETTINGS } from "../shared/front/front-settings.ts";
import { LISTEN_SETTINGS } from "../shared/http/serve.ts";
import { QUEUES_PATTERN } from "../shared/queue/open-queues.ts";
import { KINDS } from "../shared/work/kinds.ts";

/** What the kind broker has beside: its listener, who may call it, and what verifies callers. */
const BROKER_SETTINGS = {
  STRONGROOM_LISTEN: LISTEN_SETTINGS.STRONGROOM_LISTEN,
  STRONGROOM_TLS_CERTIFICATE_FILE: File("PEM certificate of the listener"),
  STRONGROOM_TLS_KEY_FILE: SecretFile("PEM private key of the listener's certificate"),
  STRONGROOM_INTAKE_CERTIFICATES_FILE: File("PEM certificates of the intakes that may call; nobody else may"),
  STRONGROOM_DIRECTORY_URL: FRONT_SETTINGS.STRONGROOM_DIRECTORY_URL,
  STRONGROOM_DIRECTORY_KEY_FILE: FRONT_SETTINGS.STRONGROOM_DIRECTORY_KEY_FILE,
  STRONGROOM_OWNERSHIP_KEY_FILE: FRONT_SETTINGS.STRONGROOM_OWNERSHIP_KEY_FILE,
  STRONGROOM_DIRECTORY_COPY: FRONT_SETTINGS.STRONGROOM_DIRECTORY_COPY,
  STRONGROOM_REVOCATIONS_URL: FRONT_SETTINGS.STRONGROOM_REVOCATIONS_URL,
  STRONGROOM_REVOCATIONS_COPY: FRONT_SETTINGS.STRONGROOM_REVOCATIONS_COPY,
  STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: FRONT_SETTINGS.STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS,
};

/** The settings of every kind of worker, by environment variable. */
export const Config = Type.Object({
  ...keyProviderSettings,
  STRONGROOM_KIND: Type.Enum([...KINDS], {
    description: "The kind of work: integration, webhook, feed or broker",
  }),
  STRONGROOM_KEY: Type.Optional(KeySetting("Key of this kind of worker; the kind feed has none")),
  STRONGROOM_QUEUES: Type.String({
    pattern: QUEUES_PATTERN,
    description: "Queues of jobs and results: local:FOLDER or sqs:QUEUE-URL-PREFIX",
  }),
  STRONGROOM_CONCURRENCY: Type.Integer({
    minimum: 1,
    maximum: 256,
    default: 16,
    description: "Jobs in hand at once; one organization has at most half of them",
  }),
  STRONGROOM_MAX_JOBS: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 10_000,
    description: "Number of jobs after which the worker exits with status 0, to be started anew",
  }),
  STRONGROOM_VISIBILITY_SECONDS: Type.Integer({
    minimum: 1,
    maximum: 43_200,
    default: 60,
    description: "Seconds after which another worker takes a job whose worker has ended",
  }),
  STRONGROOM_PRIVATE_DESTINATIONS_FILE: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'JSON list of exceptions to "public addresses only": { origin, address, ca } (path of a file)',
    }),
  ),
  STRONGROOM_LOG_LEVEL: Type.Enum(["fatal", "error", "warn", "info", "debug", "trace"], { default: "info" }),
});
export type Config = Static<typeof Config>;

/** The settings of the kind broker. */
export const BrokerConfig = Type.Object({ ...Config.properties, ...BROKER_SETTINGS });
export type BrokerConfig = Static<typeof BrokerConfig>;

/** Whether settings are those of the kind broker, as {@link readSettings} returns them. */
export const isBroker = (config: Config): config is BrokerConfig => config.STRONGROOM_KIND === "broker";

/** What a worker without a key must not have. */
const KEY_SETTINGS = [
  "STRONGROOM_KEY",
  "STRONGROOM_INTERNAL_VAULT_ADDR",
  "STRONGROOM_INTERNAL_VAULT_CA_FILE",
  "STRONGROOM_ROLE_ID_FILE",
  "STRONGROOM_SECRET_ID_FILE",
] as const;

/** Reads a worker's settings. Throws ConfigError; also if a feed worker is given anything that opens a key. */
export function readSettings(env: Record<string, string | undefined>): Config {
  const config = readConfig(env, env.STRONGROOM_KIND === "broker" ? BrokerConfig : Config);
  if (config.STRONGROOM_KIND === "feed") {
    const given = KEY_SETTINGS.filter((name) => config[name] !== undefined);
    if (given.length > 0) {
      throw new ConfigError(given.map((name) => `${name}: a feed worker must not have it`).join("\n"));
    }
  } else if (config.STRONGROOM_KEY === undefined) {
    throw new ConfigError(`STRONGROOM_KEY: missing. The kind ${config.STRONGROOM_KIND} requires it`);
  }
  return config;
}

/** Whether the AWS SDK is used, which reads its own settings from the environment at any time. */
export const usesAws = ({ STRONGROOM_KEY, STRONGROOM_QUEUES }: Config): boolean =>
  STRONGROOM_KEY?.startsWith("kms:") === true || STRONGROOM_QUEUES.startsWith("sqs:");
