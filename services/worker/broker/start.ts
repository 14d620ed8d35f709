import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import { pinsOf } from "../../shared/broker/pinned.ts";
import { ConfigError } from "../../shared/config.ts";
import type { KeyProvider } from "../../shared/envelope/key-provider.ts";
import {
  type PublishedSettings,
  publishedSources,
  readPem,
  tlsIdentity,
} from "../../shared/front/front-settings.ts";
import { createAuthenticator } from "../../shared/front/identity/authenticator.ts";
import { forFlatLines } from "../../shared/log.ts";
import type { Issuer } from "../../shared/org.ts";
import { createConnector } from "../outbound/connect.ts";
import type { Exchange } from "../outbound/exchange.ts";
import { KeptConnections } from "../outbound/kept-connections.ts";
import type { PrivateDestinations } from "../outbound/private-destinations.ts";
import { CallStream } from "./call-stream.ts";
import { changePolicy, type IsReplaced } from "./change-policy.ts";
import { checkSignature } from "./check-signature.ts";
import { Circuits } from "./circuits.ts";
import { connectOperations } from "./connect/operations.ts";
import { Destinations } from "./destinations.ts";
import { UseLimits } from "./limits.ts";
import { type Listener, startListener } from "./listener.ts";
import { operationsHandler } from "./operations.ts";
import { tokenOperation } from "./token/operation.ts";
import { Tokens } from "./token/tokens.ts";
import { answerUse, type UseParts } from "./use.ts";
import { callerVerifier } from "./verified-caller.ts";

/** The settings of the kind broker, beside every worker's. */
export interface BrokerSettings extends PublishedSettings {
  STRONGROOM_LISTEN: string;
  STRONGROOM_TLS_CERTIFICATE_FILE: string;
  STRONGROOM_TLS_KEY_FILE: string;
  STRONGROOM_INTAKE_CERTIFICATES_FILE: string;
}

export interface BrokerParts {
  keys: KeyProvider;
  exchange: Exchange;
  privateDestinations: PrivateDestinations;
  logger: Logger;
  /** Changes for tests. */
  changes?: Partial<UseParts>;
}

const NO_ISSUERS: readonly Issuer[] = [];

/** Starts what answers the intake's calls. Throws ConfigError. */
export async function startBroker(
  settings: BrokerSettings,
  { keys, exchange, privateDestinations, logger, changes = {} }: BrokerParts,
): Promise<Listener> {
  const tls = tlsIdentity(settings);
  if (!tls) throw new ConfigError("STRONGROOM_TLS_CERTIFICATE_FILE: missing");
  const setting = "STRONGROOM_INTAKE_CERTIFICATES_FILE";
  const intakes = pinsOf(readPem(settings[setting], setting), setting);
  const published = publishedSources(settings, logger);
  const maxLifetimeSeconds = settings.STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS;
  const issuers = () => published.directory.current?.issuers ?? NO_ISSUERS;
  const authenticator = createAuthenticator({ issuers, logger, maxLifetimeSeconds }, checkSignature);
  const { directory, revocations } = published;
  const verifyCaller = callerVerifier({ directory, revocations, authenticator });
  const flat = forFlatLines(logger);
  const destinations = new Destinations(
    new KeptConnections(createConnector({ privateDestinations })),
    new Circuits(),
  );
  const tokens = new Tokens(keys, exchange);
  const useParts: UseParts = {
    ...{ keys, destinations, verifyCaller, tokens, limits: new UseLimits(), logger: flat, now: Date.now },
    ...changes,
  };
  const isReplaced: IsReplaced = (org, credential) => tokens.isReplaced(org, credential);
  const operations = [
    changePolicy(keys, isReplaced),
    tokenOperation(tokens),
    ...connectOperations({ keys, exchange, now: Date.now }),
  ];
  const perform = operationsHandler(operations, verifyCaller, flat);
  const answer = (path: string, request: IncomingMessage, response: ServerResponse) => {
    if (path !== "/use") return void perform(path, request, response);
    response.writeHead(200, { "Content-Type": "application/octet-stream" });
    void answerUse(useParts, new CallStream(request, response));
  };
  await published.start();
  await authenticator.prefetchKeys();
  const listener = await startListener({ listen: settings.STRONGROOM_LISTEN, tls, intakes, answer });
  return {
    port: listener.port,
    async stop(graceMs) {
      await listener.stop(graceMs);
      destinations.close();
      tokens.close();
      published.close();
      authenticator.close();
    },
  };
}
