import { type DestinationStream, type Logger, pino } from "pino";

/** Structured logs on stdout, one JSON object a line. Redaction is a second net: secrets are `Secret`s. */
export function createLogger(service: string, level: string, destination?: DestinationStream): Logger {
  return pino(
    {
      name: service,
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ["headers.authorization", 'headers["x-vault-token"]', "*.token", "*.jwt", "token", "jwt"],
        censor: "[secret]",
      },
    },
    destination ?? pino.destination(1),
  );
}
