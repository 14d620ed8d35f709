import { X509Certificate } from "node:crypto";
import { rm } from "node:fs/promises";
import { readText, writeFileAtomic, writeJson } from "../../shared/files.ts";
import { KINDS, type Kind } from "../../shared/work/kinds.ts";
import type { StateFolder } from "./state-folder.ts";

/** A name that resolves nowhere: only the workers of this platform know its address. */
const NAME = "provider.strongroom.test";
const VALID_DAYS = 365;
const RENEW_MS = 30 * 24 * 3600 * 1000;

export const demoProviderOrigin = (port: number): string => `https://${NAME}:${port}`;

/** The destinations that are not public and that a worker may still connect to. */
export const privateDestinationsFile = (state: StateFolder, kind: Kind): string =>
  state.at(`worker-${kind}`, "private-destinations.json");

/**
 * Prepares the demo's provider on this port: its certificate and key, and the workers' permission to connect to it.
 * Without a port, withdraws that permission.
 */
export async function writeDemoProvider(state: StateFolder, port: number | undefined): Promise<void> {
  const files = KINDS.map((kind) => privateDestinationsFile(state, kind));
  if (port === undefined) {
    await Promise.all(files.map((file) => rm(file, { force: true })));
    return;
  }
  const ca = await certificate(state);
  const destinations = [{ origin: demoProviderOrigin(port), address: "127.0.0.1", ca }];
  await Promise.all(files.map((file) => writeJson(file, destinations)));
}

/** PEM of the provider's own certificate, which is its authority too. Made anew if it ends within a month. */
async function certificate(state: StateFolder): Promise<string> {
  const [file, keyFile] = [
    state.at("demo-provider", "certificate.pem"),
    state.at("demo-provider", "key.pem"),
  ];
  const [kept, key] = await Promise.all([readText(file), readText(keyFile)]);
  const ends = kept && key ? new X509Certificate(kept).validToDate.getTime() : 0;
  if (kept && ends - Date.now() > RENEW_MS) return kept;
  const { selfSignedCertificate } = await import("./self-signed-certificate.ts");
  const made = selfSignedCertificate(NAME, VALID_DAYS);
  await writeFileAtomic(keyFile, made.key.reveal());
  await writeFileAtomic(file, made.certificate);
  return made.certificate;
}
