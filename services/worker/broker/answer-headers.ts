import type { Scrubber } from "../scrub/scrubber.ts";

const DROPPED = [
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "trailer",
  "set-cookie",
];

export const answerHeaders = (
  raw: [string, string][],
  scrubber: Scrubber,
  _origin: string,
): [string, string][] =>
  raw
    .filter(([name]) => !DROPPED.includes(name.toLowerCase()))
    .map(([name, value]) => [scrubber.scrubText(name), scrubber.scrubText(value)]);
