import { X509Certificate } from "node:crypto";
import { ConfigError } from "../config.ts";

/** The SHA-256 fingerprints of certificates that are accepted as they are, by no authority and no name. */
export type Pins = ReadonlySet<string>;

/** The pins of a setting's PEM file. Throws {@link ConfigError} unless it has certificates, and nothing else. */
export function pinsOf(pem: string, setting: string): Pins {
  const blocks = pem.match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g) ?? [];
  try {
    const pins = blocks.map((block) => new X509Certificate(block).fingerprint256);
    if (pins.length > 0) return new Set(pins);
  } catch {
    // refused below
  }
  throw new ConfigError(`${setting}: the file does not contain certificates (PEM)`);
}
