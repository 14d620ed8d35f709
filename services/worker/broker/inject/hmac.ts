import { createHmac, hash } from "node:crypto";
import type { Injection } from "../../../shared/broker/inject.ts";
import { UseFailure } from "../use-failure.ts";
import {
  checkInjectable,
  formatted,
  type Prepared,
  searchable,
  type Unprepared,
  withHeaders,
} from "./prepared.ts";
import { splitPath } from "./url.ts";

export type Hmac = Extract<Injection, { hmac: unknown }>["hmac"];

const MEMBER = /\{([a-z0-9-]+)\}/g;
const TIMES: Record<NonNullable<Hmac["timestamp"]>["unit"], (now: number) => string> = {
  seconds: (now) => String(Math.floor(now / 1000)),
  milliseconds: (now) => String(now),
  rfc3339: (now) => new Date(now).toISOString().replace(/\.[0-9]{3}Z$/, "Z"),
};

/** Whether what is signed contains the body or its hash. */
export const signsBody = ({ template }: Hmac): boolean => /\{body(-sha256)?\}/.test(template);

/** Signs a text made of the request; the value is the key, and is not sent. `now` is milliseconds since 1970. */
export function injectHmac(
  policy: Hmac,
  host: string,
  value: Uint8Array,
  request: Unprepared,
  now: number,
): Prepared {
  const { header, format, algorithm, encoding, timestamp } = policy;
  checkInjectable(header, ...(timestamp ? [timestamp.header] : []));
  const time = timestamp && TIMES[timestamp.unit](now);
  const mac = createHmac(algorithm, searchable(value));
  for (const part of partsOf(policy.template, host, request, time)) mac.update(part);
  const signature = mac.digest(encoding);
  const added: [string, string][] = [[header, formatted(format, signature)]];
  if (timestamp && time !== undefined) added.push([timestamp.header, time]);
  return {
    path: request.path,
    headers: withHeaders(request.headers, added),
    secrets: [value, Buffer.from(signature, "latin1")],
  };
}

/** The template's texts with the request's in between. */
function* partsOf(
  template: string,
  host: string,
  { method, path: target, body = new Uint8Array() }: Unprepared,
  time: string | undefined,
): Generator<string | Uint8Array> {
  const [path, query = ""] = splitPath(target);
  let at = 0;
  for (const match of template.matchAll(MEMBER)) {
    yield template.slice(at, match.index);
    at = match.index + match[0].length;
    switch (match[1]) {
      case "method":
        yield method;
        break;
      case "path":
        yield path;
        break;
      case "query":
        yield query;
        break;
      case "host":
        yield host;
        break;
      case "timestamp":
        if (time === undefined) throw malformed("the policy's template needs a header for its timestamp");
        yield time;
        break;
      case "body":
        yield body;
        break;
      case "body-sha256":
        yield hash("sha256", body, "hex");
        break;
      default:
        throw malformed(`the policy's template has the unknown member {${match[1]}}`);
    }
  }
  yield template.slice(at);
}

const malformed = (what: string) => new UseFailure("malformed", what);
