import { type DestinationStream, type Logger, pino } from "pino";

/** Names whose values are not for a log. */
const SECRETS = ["token", "jwt"];
const CENSOR = "[secret]";

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
 * The same logger for lines that hold no objects: to look for secrets below the top, pino serializes each value
 * of a line by itself, which costs as much as the rest of the line.
 */
export const forFlatLines = (logger: Logger): Logger =>
  logger.child({}, { redact: { paths: SECRETS, censor: CENSOR } });
