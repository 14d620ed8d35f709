import type { Outcome } from "../shared/work/messages.ts";
import type { Answer } from "./outbound/exchange.ts";
import type { Scrubber } from "./scrub/scrubber.ts";

/** Headers that are about the connection; and cookies, which would be as good as the credential that earned them. */
const DROPPED = [
  ...["connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "trailer", "te"],
  ...["proxy-authenticate", "proxy-authorization", "alt-svc", "set-cookie", "set-cookie2"],
];
const MAX_HEADERS = 100;

/** The outcome of a job that was answered, without the secrets. `shorten` is applied to the body without them. */
export function answered(
  { status, headers, body }: Answer,
  scrubber: Scrubber,
  shorten: (body: Buffer) => Buffer = (whole) => whole,
): Outcome {
  const kept = headers
    .filter(([name]) => !DROPPED.includes(name.toLowerCase()))
    .slice(0, MAX_HEADERS)
    .map(([name, value]): [string, string] => [scrubber.scrubText(name), scrubber.scrubText(value)]);
  const scrubbedBody = shorten(scrubber.scrub(body)).toString("base64");
  return { state: "answered", status, headers: kept, body: scrubbedBody, scrubbed: scrubber.hits };
}
