import { writeFileAtomic } from "../../shared/files.ts";
import type { StateFolder } from "./state-folder.ts";

/** Longer than any platform runs without a new start: each side accepts one certificate, so its end protects nobody. */
const VALID_DAYS = 3650;

export const brokerUrl = (port: number): string => `https://127.0.0.1:${port}`;

/** The broker's settings of its listener. */
export const brokerListenerSettings = (state: StateFolder, port: number): Record<string, string> => {
  const { certificate, key, intake } = brokerFiles(state).broker;
  return {
    STRONGROOM_LISTEN: new URL(brokerUrl(port)).host,
    STRONGROOM_TLS_CERTIFICATE_FILE: certificate,
    STRONGROOM_TLS_KEY_FILE: key,
    STRONGROOM_INTAKE_CERTIFICATES_FILE: intake,
  };
};

/** The intake's settings of its connections to the broker. */
export const brokerClientSettings = (state: StateFolder, port: number): Record<string, string> => {
  const { certificate, key, broker } = brokerFiles(state).intake;
  return {
    STRONGROOM_BROKER_URL: brokerUrl(port),
    STRONGROOM_BROKER_CERTIFICATES_FILE: broker,
    STRONGROOM_BROKER_CLIENT_CERTIFICATE_FILE: certificate,
    STRONGROOM_BROKER_CLIENT_KEY_FILE: key,
  };
};

/** The files by which the intake and the broker know each other. */
export const brokerFiles = (state: StateFolder) => ({
  broker: {
    certificate: state.at("worker-broker", "certificate.pem"),
    key: state.at("worker-broker", "key.pem"),
    intake: state.at("worker-broker", "intake-certificate.pem"),
  },
  intake: {
    certificate: state.at("intake", "broker-client-certificate.pem"),
    key: state.at("intake", "broker-client-key.pem"),
    broker: state.at("intake", "broker-certificate.pem"),
  },
});

/**
 * Makes new keys and certificates for the connections from the intake to the broker. Each side gets its own key and the
 * other's certificate, which is the only one that it accepts.
 */
export async function writeBrokerCertificates(state: StateFolder): Promise<void> {
  const { selfSignedCertificate } = await import("./self-signed-certificate.ts");
  const files = brokerFiles(state);
  const broker = selfSignedCertificate("broker.strongroom.internal", VALID_DAYS);
  const intake = selfSignedCertificate("intake.strongroom.internal", VALID_DAYS);
  // The last is the sign that all are there.
  await writeFileAtomic(files.broker.key, broker.key.reveal());
  await writeFileAtomic(files.broker.certificate, broker.certificate);
  await writeFileAtomic(files.broker.intake, intake.certificate);
  await writeFileAtomic(files.intake.key, intake.key.reveal());
  await writeFileAtomic(files.intake.certificate, intake.certificate);
  await writeFileAtomic(files.intake.broker, broker.certificate);
}
