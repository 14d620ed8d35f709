import { type Static, Type } from "typebox";
import { ConfigError } from "../shared/config.ts";
import { KeySetting, keyProviderSettings } from "../shared/envelope/key-settings.ts";
import { FRONT_SETTINGS } from "../shared/front/front-settings.ts";
import { LISTEN_SETTINGS } from "../shared/http/serve.ts";
import { QUEUES_PATTERN } from "../shared/queue/open-queues.ts";
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
