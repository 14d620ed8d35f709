import {
  AuthorizationResponseError,
  type CustomFetchOptions,
  OperationProcessingError,
  ResponseBodyError,
  UnsupportedOperationError,
  WWWAuthenticateChallengeError,
} from "oauth4webapi";
import { JobFailure } from "../../job-failure.ts";
import type { Exchange } from "../../outbound/exchange.ts";
import { asUseFailure } from "../failures.ts";
import { UseFailure } from "../use-failure.ts";

const MOST_BYTES = 256 * 1024;
const NO_BODY = [204, 205, 304];
const AGENT = ["User-Agent", "strongroom"] as const; // GitHub's API refuses requests without one

type Body = URLSearchParams | string | undefined | null;
export type ProviderFetch = (
  url: string,
  options: Omit<CustomFetchOptions<string, Body>, "signal" | "redirect">,
) => Promise<Response>;

/**
 * `fetch` over the broker's own way out, for these URLs and no others. A redirect is an answer like any other, and is
 * not followed. Throws UseFailure.
 */
export function providerFetch(
  exchange: Exchange,
  allowed: readonly string[],
  signal: AbortSignal,
): ProviderFetch {
  return async (url, { method, headers, body }) => {
    if (!allowed.includes(url)) throw new UseFailure("destination_refused", "The URL is not the provider's.");
    const [, origin = "", path = ""] = /^(https:\/\/[^/?#]+)(.*)$/.exec(url) ?? [];
    const sent = {
      ...{ origin, method, path: path.startsWith("/") ? path : `/${path}`, maxBody: MOST_BYTES },
      headers: [...Object.entries(headers), AGENT, ["Accept-Encoding", "identity"]] as [string, string][],
      body: body == null ? undefined : Buffer.from(String(body)),
    };
    const answer = await exchange(sent, signal).catch((error: unknown) => {
      if (error instanceof JobFailure) throw asUseFailure(error);
      const isLate = signal.aborted && signal.reason?.name === "TimeoutError";
      throw isLate ? new UseFailure("timeout", "The provider: it did not answer in time.") : error;
    });
    const status = isErrorWithin(answer) ? 400 : Math.max(200, answer.status);
    const content = NO_BODY.includes(status) ? null : new Uint8Array(answer.body);
    return new Response(content, { status, headers: contentTypeOf(answer.headers) });
  };
}

/** Headers that a library reads; of several of one name none is trusted. */
function contentTypeOf(headers: [string, string][]): Record<string, string> {
  const named = (wanted: string) => headers.filter(([name]) => name.toLowerCase() === wanted);
  const [type, challenge] = [named("content-type"), named("www-authenticate")];
  return {
    ...(type.length === 1 && { "content-type": type[0]?.[1] ?? "" }),
    ...(challenge.length === 1 && { "www-authenticate": challenge[0]?.[1] ?? "" }),
  };
}

/** GitHub and Slack answer an error with the status 200. */
function isErrorWithin({ status, body }: { status: number; body: Buffer }): boolean {
  if (status !== 200) return false;
  try {
    const json: unknown = JSON.parse(body.toString("utf8"));
    return typeof (json as { error?: unknown } | null)?.error === "string";
  } catch {
    return false;
  }
}

/** What a provider's answer, or its absence, means for the caller. Contains nothing of what the provider wrote but its code. */
export function providerFailure(error: unknown): unknown {
  if (error instanceof ResponseBodyError) {
    return new UseFailure("provider_refused", `The provider refused: ${codeOf(error.error)}.`, {
      status: error.status,
    });
  }
  if (error instanceof AuthorizationResponseError) {
    const detail = `The provider did not authorize it: ${codeOf(error.error)}.`;
    return new UseFailure("callback_refused", detail, { part: "error" });
  }
  if (error instanceof WWWAuthenticateChallengeError) {
    return new UseFailure("provider_refused", "The provider refused the client.", { status: error.status });
  }
  if (error instanceof OperationProcessingError || error instanceof UnsupportedOperationError) {
    return new UseFailure("answer_unusable", `The provider's answer is not usable: ${error.message}.`);
  }
  return error;
}

const codeOf = (code: string): string => (/^[a-z0-9_.-]{1,64}$/i.test(code) ? code : "no code given");
