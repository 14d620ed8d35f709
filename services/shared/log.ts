import { type DestinationStream, type Logger, pino } from "pino";

/** Structured logs on stdout, one JSON object a line. Redaction is a second net: secrets are `Secret`s. */
export function createLogger(service: string, level: string, destination?: DestinationStream): Logger {
  return pino(
    {
      name: service,
      level,
      // A line that is made later than what it tells of brings its own time.
      timestamp: false,
      mixin: (line) => ("time" in line ? {} : { time: new Date().toISOString() }),
      redact: {
        paths: ["headers.authorization", 'headers["x-vault-token"]', "*.token", "*.jwt", "token", "jwt"],
        censor: "[secret]",
      },
    },
    destination ?? pino.destination(1),
  );
}
