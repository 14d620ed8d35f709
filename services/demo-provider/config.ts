import { readFileSync } from "node:fs";
import { Type } from "typebox";
import { ConfigError, SecretFile } from "../shared/config.ts";
import { LISTEN_SETTINGS } from "../shared/http/serve.ts";

/** The demo provider's settings, by environment variable. */
export const Config = Type.Object({
  ...LISTEN_SETTINGS,
  STRONGROOM_TLS_CERTIFICATE_FILE: Type.String({ description: "PEM certificate (path of a file)" }),
  STRONGROOM_TLS_KEY_FILE: SecretFile("PEM private key of the certificate"),
});

/** The certificate in the file. Throws ConfigError if it cannot be read. */
export function readCertificate(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(
      `STRONGROOM_TLS_CERTIFICATE_FILE: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}
