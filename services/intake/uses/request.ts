import { REQUEST_BYTES, type UseRequest } from "../../shared/api/uses.ts";
import { type PartError, StrongroomError } from "../../shared/errors.ts";
import { type DestinationPolicy, forbiddenByPolicy } from "../../shared/work/destination.ts";
import type { DestinationRequest } from "../../shared/work/messages.ts";
import { isRefusedHeader } from "../../shared/work/request-headers.ts";

const MOST_HEADER_BYTES = 16_000;

/**
 * A caller's request as the worker gets it. Throws `invalid_value` if the credential's destination does not allow it, so
 * that a caller learns at once what the worker would refuse later, and `body_too_large`.
 */
export function destinationRequest(asked: UseRequest, destination: DestinationPolicy): DestinationRequest {
  const errors: PartError[] = [];
  const query = Object.entries(asked.query ?? {})
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join("&");
  const path = query === "" ? asked.path : `${asked.path}?${query}`;
  if (asked.path.includes("?")) {
    errors.push({ pointer: "/body/request/path", message: "has a query: name its members in `query`" });
  } else {
    const problem = forbiddenByPolicy(destination, { method: asked.method, path });
    if (problem) errors.push({ pointer: "/body/request", message: problem });
  }
  if (path.length > 4096) errors.push({ pointer: "/body/request/query", message: "is too long" });
  errors.push(...headerErrors(asked.headers ?? {}, destination));
  const body = bodyOf(asked, errors);
  if (errors.length > 0) {
    throw new StrongroomError(
      "invalid_value",
      "The credential cannot be used for this request. See `errors`.",
      {
        errors,
      },
    );
  }
  return {
    method: asked.method,
    path,
    ...(asked.headers && { headers: asked.headers }),
    ...(body && { body: body.toString("base64") }),
  };
}

function headerErrors(headers: Record<string, string>, { inject }: DestinationPolicy): PartError[] {
  const injected = "header" in inject ? inject.header.toLowerCase() : undefined;
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  const errors = Object.keys(headers).flatMap((name, index): PartError[] => {
    const lower = name.toLowerCase();
    const pointer = `/body/request/headers/${name}`;
    if (lower === injected) return [{ pointer, message: "is the header that carries the credential" }];
    if (isRefusedHeader(lower)) return [{ pointer, message: "may not be set" }];
    return names.indexOf(lower) < index ? [{ pointer, message: "is set twice" }] : [];
  });
  const bytes = Object.entries(headers).reduce(
    (sum, [name, value]) => sum + name.length + value.length + 4,
    0,
  );
  if (bytes > MOST_HEADER_BYTES) errors.push({ pointer: "/body/request/headers", message: "are too long" });
  return errors;
}

function bodyOf({ body, method }: UseRequest, errors: PartError[]): Buffer | undefined {
  if (body === undefined) return undefined;
  if (method === "GET" || method === "HEAD") {
    errors.push({ pointer: "/body/request/body", message: `is not allowed with ${method}` });
    return undefined;
  }
  const bytes = "text" in body ? Buffer.from(body.text, "utf8") : Buffer.from(body.base64, "base64");
  if (bytes.length > REQUEST_BYTES) {
    throw new StrongroomError(
      "body_too_large",
      `The request's body is longer than ${REQUEST_BYTES / 1024} KiB.`,
    );
  }
  if ("base64" in body && bytes.toString("base64") !== body.base64) {
    errors.push({ pointer: "/body/request/body/base64", message: "is not canonical base64" });
  }
  return bytes;
}

/** Percent-encodes all but unreserved characters (RFC 3986). */
const encode = (text: string): string =>
  encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
