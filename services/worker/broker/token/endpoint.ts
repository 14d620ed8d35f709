import type { CallFailure } from "../../../shared/broker/calls.ts";
import { parseOrigin } from "../../../shared/work/destination.ts";
import type { FailureClass } from "../../../shared/work/messages.ts";
import { JobFailure } from "../../job-failure.ts";
import type { Answer, Exchange } from "../../outbound/exchange.ts";
import { UseFailure } from "../use-failure.ts";

/** A token and its revocation together take less than the intake's lease of a grant. */
const EXCHANGE_MS = 15_000;
const MOST_ANSWER_BYTES = 65_536;

export interface EndpointCall {
  /** An https URL without a query. */
  endpoint: string;
  method: "POST" | "DELETE";
  headers: [name: string, value: string][];
  body?: Uint8Array | undefined;
}

/**
 * Sends one request to an endpoint of a grant's provider: over the worker's own way out, at the origin that is sealed with
 * the credential, without redirects. No caller aborts it, since an answer may carry the only copy of a new refresh
 * token. Throws UseFailure.
 */
export async function callEndpoint(exchange: Exchange, call: EndpointCall): Promise<Answer> {
  const { endpoint, method, headers, body } = call;
  const slash = endpoint.indexOf("/", "https://".length);
  const [origin, path] = [endpoint.slice(0, slash), endpoint.slice(slash)];
  if (!parseOrigin(origin) || !URL.canParse(endpoint) || new URL(endpoint).href !== endpoint) {
    throw new UseFailure(
      "destination_refused",
      "the grant's endpoint is not an https URL in its one spelling",
    );
  }
  const within = AbortSignal.timeout(EXCHANGE_MS);
  let answer: Answer;
  try {
    answer = await exchange(
      {
        ...{ origin, method, path, body, maxBody: MOST_ANSWER_BYTES },
        headers: [...headers, ["Accept-Encoding", "identity"]],
      },
      within,
    );
  } catch (error) {
    throw within.aborted
      ? new UseFailure("timeout", "the token's provider did not answer in time")
      : asUseFailure(error);
  }
  if (answer.status >= 300 && answer.status < 400) {
    throw new UseFailure("answer_unusable", "the provider answered with a redirect", {
      status: answer.status,
    });
  }
  return answer;
}

/** The first value of a header. */
export const headerOf = ({ headers }: Answer, name: string): string | undefined =>
  headers.find(([each]) => each.toLowerCase() === name)?.[1];

/** The JSON object of an answer. Throws UseFailure `answer_unusable`. */
export function jsonOf(answer: Answer): Record<string, unknown> {
  const type = headerOf(answer, "content-type") ?? "";
  if (/^application\/([a-z0-9.-]+\+)?json\s*(;|$)/i.test(type)) {
    try {
      const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(answer.body));
      if (typeof value === "object" && value !== null && !Array.isArray(value)) {
        return value as Record<string, unknown>;
      }
    } catch {
      // refused below
    }
  }
  throw new UseFailure("answer_unusable", "the provider's answer is no JSON object", {
    status: answer.status,
  });
}

const FAILURE_OF: Partial<Record<FailureClass, CallFailure>> = {
  destination_refused: "destination_refused",
  unreachable: "unreachable",
  timeout: "timeout",
  answer_unusable: "answer_unusable",
  answer_too_large: "answer_unusable",
  answer_not_scrubbable: "answer_unusable",
};

function asUseFailure(error: unknown): unknown {
  const failure = error instanceof JobFailure ? FAILURE_OF[error.failure] : undefined;
  if (!failure) return error;
  // In words of the provider's: the caller has named no destination.
  const detail = (error as JobFailure).message.replace("the destination", "the token's provider");
  return new UseFailure(failure, detail);
}
