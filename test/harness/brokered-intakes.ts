import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import { createBrokerClient } from "../../services/intake/broker/client.ts";
import { pinsOf } from "../../services/shared/broker/pinned.ts";
import { startBroker } from "../../services/worker/broker/start.ts";
import { createExchange } from "../../services/worker/outbound/exchange.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";
import { newDirectoryKey } from "./directory.ts";
import { type IntakeStage, startIntakeStage, type TestIntake } from "./intake.ts";

/** Intakes on one store, each with a broker of its own that it reaches over mutual TLS. Keys are in memory. */
export interface BrokeredStage {
  stage: IntakeStage;
  intakes: TestIntake[];
  /** What all brokers have logged. */
  brokerLog: string[];
  close(): Promise<void>;
}

export interface BrokeredOptions {
  pairs: number;
  exceptions: PrivateDestination[];
  /** Ports that destinations and endpoints may have. */
  ports: number[];
}

export async function startBrokeredIntakes({
  pairs,
  exceptions,
  ports,
}: BrokeredOptions): Promise<BrokeredStage> {
  const directoryKey = newDirectoryKey();
  const stage = await startIntakeStage({ directoryKey });
  const { directoryServer } = stage.published;
  const at = (name: string) => join(stage.folder, name);
  const [broker, client] = [selfSignedCertificate("broker.test", 1), selfSignedCertificate("intake.test", 1)];
  await writeFile(at("broker.pem"), broker.certificate);
  await writeFile(at("broker-key.pem"), broker.key.reveal(), { mode: 0o600 });
  await writeFile(at("intake.pem"), client.certificate);
  await writeFile(at("directory-key.pem"), directoryKey.publicPem);
  await writeFile(at("ownership-key.pem"), directoryKey.ownershipPem);
  const privateDestinations = new Map(exceptions.map((each) => [each.origin, each]));
  const brokerLog: string[] = [];
  const closers: (() => Promise<void>)[] = [];
  const intakes: TestIntake[] = [];
  for (let index = 0; index < pairs; index++) {
    await mkdir(at(`published-${index}`));
    const { port, stop } = await startBroker(
      {
        STRONGROOM_LISTEN: "127.0.0.1:0",
        STRONGROOM_TLS_CERTIFICATE_FILE: at("broker.pem"),
        STRONGROOM_TLS_KEY_FILE: at("broker-key.pem"),
        STRONGROOM_INTAKE_CERTIFICATES_FILE: at("intake.pem"),
        STRONGROOM_DIRECTORY_URL: directoryServer.url,
        STRONGROOM_DIRECTORY_KEY_FILE: at("directory-key.pem"),
        STRONGROOM_OWNERSHIP_KEY_FILE: at("ownership-key.pem"),
        STRONGROOM_DIRECTORY_COPY: at(`published-${index}/directory.jws`),
        STRONGROOM_REVOCATIONS_URL: directoryServer.revocationsUrl,
        STRONGROOM_REVOCATIONS_COPY: at(`published-${index}/revocations.jws`),
        STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: 3600,
      },
      {
        ...{
          keys: stage.keys.broker,
          privateDestinations,
          exchange: createExchange({ privateDestinations }),
        },
        logger: pino({ level: "debug" }, { write: (line: string) => void brokerLog.push(line) }),
      },
    );
    closers.push(() => stop(1_000));
    const connections = createBrokerClient({
      ...{ url: `https://127.0.0.1:${port}`, pins: pinsOf(broker.certificate, "the broker") },
      client,
    });
    closers.push(async () => connections.close());
    intakes.push(await stage.start({ broker: connections, destinationPorts: new Set([443, ...ports]) }));
  }
  return {
    ...{ stage, intakes, brokerLog },
    async close() {
      await Promise.all(intakes.map((each) => each.close()));
      for (const close of closers.reverse()) await close();
      await stage.close();
    },
  };
}
