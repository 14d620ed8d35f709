import { type DestinationStream, type Logger, pino } from "pino";

/** Members whose values must not be logged. */
const SECRETS = ["token", "jwt"];
const CENSOR = "[secret]";

/** Structured logs on stdout, one JSON object a line. Redaction is a second safeguard: secrets are `Secret`s. */
export function createLogger(service: string, level: string, destination?: DestinationStream): Logger {
  return pino(
    {
      name: service,
      level,
      // A deferred line has its own `time`.
      timestamp: false,
      mixin: (line) => ("time" in line ? {} : { time: new Date().toISOString() }),
      redact: {
        paths: [
          "headers.authorization",
          'headers["x-vault-token"]',
          ...SECRETS.map((name) => `*.${name}`),
          ...SECRETS,
        ],
        censor: CENSOR,
      },
    },
    destination ?? pino.destination(1),
  );
}

/**
 * The same logger for lines without nested objects: to redact nested members, pino serializes each value of a line
 * separately, which costs as much as the rest of the line.
 */
export const forFlatLines = (logger: Logger): Logger =>
  logger.child({}, { redact: { paths: SECRETS, censor: CENSOR } });
