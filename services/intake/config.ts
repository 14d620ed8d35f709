import { type Static, Type } from "typebox";
import { pinsOf } from "../shared/broker/pinned.ts";
import { ConfigError, readSecretFile, SecretFile } from "../shared/config.ts";
import { KeySetting, keyProviderSettings } from "../shared/envelope/key-settings.ts";
import { File, FRONT_SETTINGS, readPem } from "../shared/front/front-settings.ts";
import { LISTEN_SETTINGS } from "../shared/http/serve.ts";
import { QUEUES_PATTERN } from "../shared/queue/open-queues.ts";
import type { BrokerSettings } from "./broker/connections.ts";
import type { UseLimits } from "./dependencies.ts";
import { STORE_PATTERN } from "./store/open-store.ts";

const Queues = (kind: string) =>
  Type.String({
    pattern: QUEUES_PATTERN,
    description: `The queues of kind ${kind}: local:FOLDER, or sqs:PREFIX of the queues' URLs`,
  });

/** The intake's settings, by environment variable. */
export const Config = Type.Object({
  ...LISTEN_SETTINGS,
  ...FRONT_SETTINGS,
  ...keyProviderSettings,
  STRONGROOM_STORE: Type.String({
    pattern: STORE_PATTERN,
    description: "Where ciphertext and records are kept: sqlite:FILE or dynamodb:TABLE",
  }),
  STRONGROOM_INTEGRATION_KEY: KeySetting("The key that credentials are sealed for"),
  STRONGROOM_WEBHOOK_KEY: KeySetting("The key that webhooks' signing secrets are sealed for"),
  STRONGROOM_BROKER_KEY: KeySetting("The key that credentials of the broker are sealed for"),
  STRONGROOM_RECEIPTS_KEY: KeySetting("The key that signs checkpoints of receipts"),
  STRONGROOM_INTEGRATION_QUEUES: Queues("integration"),
  STRONGROOM_WEBHOOK_QUEUES: Queues("webhook"),
  STRONGROOM_FEED_QUEUES: Queues("feed"),
  STRONGROOM_BROKER_QUEUES: Queues("broker"),
  STRONGROOM_BROKER_URL: Type.String({
    pattern: "^https://[A-Za-z0-9.-]+:[0-9]{1,5}$",
    description: "The broker: https://host:port",
  }),
  STRONGROOM_BROKER_CERTIFICATES_FILE: File("PEM certificates of the broker, any of which it may present"),
  STRONGROOM_BROKER_CLIENT_CERTIFICATE_FILE: File("PEM certificate by which the broker knows the intake"),
  STRONGROOM_BROKER_CLIENT_KEY_FILE: SecretFile("PEM private key of that certificate"),
  STRONGROOM_USES_AT_ONCE: Type.Integer({
    minimum: 1,
    maximum: 10_000,
    default: 256,
    description: "Requests in hand to the broker of one organization; half as many of one credential",
  }),
  STRONGROOM_MOST_USE_BYTES: Type.Integer({
    minimum: 1_024,
    maximum: 1_099_511_627_776,
    default: 1_073_741_824,
    description: "The longest body of a request to the broker, in bytes",
  }),
  STRONGROOM_DESTINATION_PORTS: Type.String({
    pattern: "^[0-9]{1,5}(,[0-9]{1,5}){0,31}$",
    default: "443,8443",
    description: "The ports that a destination may have, separated by commas",
  }),
});
export type Config = Static<typeof Config>;

/** The ports that a destination may have. Throws ConfigError for what is no port. */
export function destinationPorts({
  STRONGROOM_DESTINATION_PORTS: list,
}: Pick<Config, "STRONGROOM_DESTINATION_PORTS">): ReadonlySet<number> {
  const ports = list.split(",").map(Number);
  if (ports.some((port) => port < 1 || port > 65_535)) {
    throw new ConfigError("STRONGROOM_DESTINATION_PORTS: a port is a number from 1 to 65535");
  }
  return new Set(ports);
}

/** How the broker is reached. Throws ConfigError for files that are not what they should be. */
export function brokerSettings(config: Config): BrokerSettings {
  const pem = (
    setting: "STRONGROOM_BROKER_CERTIFICATES_FILE" | "STRONGROOM_BROKER_CLIENT_CERTIFICATE_FILE",
  ) => readPem(config[setting], setting);
  return {
    url: config.STRONGROOM_BROKER_URL,
    pins: pinsOf(pem("STRONGROOM_BROKER_CERTIFICATES_FILE"), "STRONGROOM_BROKER_CERTIFICATES_FILE"),
    client: {
      certificate: pem("STRONGROOM_BROKER_CLIENT_CERTIFICATE_FILE"),
      key: readSecretFile(config.STRONGROOM_BROKER_CLIENT_KEY_FILE, "STRONGROOM_BROKER_CLIENT_KEY_FILE"),
    },
  };
}

/** What the broker is called for at once, and with how much. */
export const useLimits = ({
  STRONGROOM_USES_AT_ONCE: ofOrg,
  STRONGROOM_MOST_USE_BYTES: mostBodyBytes,
}: Pick<Config, "STRONGROOM_USES_AT_ONCE" | "STRONGROOM_MOST_USE_BYTES">): UseLimits => ({
  ...{ ofOrg, mostBodyBytes },
  ofCredential: Math.ceil(ofOrg / 2),
});
