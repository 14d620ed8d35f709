import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import { type BrokerClient, createBrokerClient } from "../../services/intake/broker/client.ts";
import { pinsOf } from "../../services/shared/broker/pinned.ts";
import { startBroker } from "../../services/worker/broker/start.ts";
import { createExchange, type Outside } from "../../services/worker/outbound/exchange.ts";
import type { IntakeStage } from "./intake.ts";

/** The broker's listener in this process, with a stage's keys and published documents, and the way of an intake to it. */
export async function startBrokerOf(
  { folder, keys, published, directoryKey }: IntakeStage,
  { privateDestinations = new Map() }: Outside,
): Promise<{ client: BrokerClient; stop(): Promise<void> }> {
  const at = (name: string) => join(folder, "broker", name);
  const [own, intake] = [selfSignedCertificate("broker", 1), selfSignedCertificate("intake", 1)];
  await mkdir(at("."), { mode: 0o700 });
  await writeFile(at("certificate.pem"), own.certificate);
  await writeFile(at("key.pem"), own.key.reveal(), { mode: 0o600 });
  await writeFile(at("intakes.pem"), intake.certificate);
  await writeFile(at("directory-key.pem"), directoryKey.publicPem);
  await writeFile(at("ownership-key.pem"), directoryKey.ownershipPem);
  const settings = {
    STRONGROOM_LISTEN: "127.0.0.1:0",
    STRONGROOM_TLS_CERTIFICATE_FILE: at("certificate.pem"),
    STRONGROOM_TLS_KEY_FILE: at("key.pem"),
    STRONGROOM_INTAKE_CERTIFICATES_FILE: at("intakes.pem"),
    STRONGROOM_DIRECTORY_URL: published.directoryServer.url,
    STRONGROOM_DIRECTORY_KEY_FILE: at("directory-key.pem"),
    STRONGROOM_OWNERSHIP_KEY_FILE: at("ownership-key.pem"),
    STRONGROOM_DIRECTORY_COPY: at("directory.jws"),
    STRONGROOM_REVOCATIONS_URL: published.directoryServer.revocationsUrl,
    STRONGROOM_REVOCATIONS_COPY: at("revocations.jws"),
    STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: 3600,
  };
  const exchange = createExchange({ privateDestinations });
  const logger = pino({ level: "silent" });
  const listener = await startBroker(settings, { keys: keys.broker, exchange, privateDestinations, logger });
  const client = createBrokerClient({
    url: `https://127.0.0.1:${listener.port}`,
    pins: pinsOf(own.certificate, "the broker's certificate"),
    client: intake,
  });
  return {
    client,
    async stop() {
      client.close();
      await listener.stop(1_000);
    },
  };
}
