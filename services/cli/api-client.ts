import { ERROR_CODES, StrongroomError } from "../shared/errors.ts";
import type { Problem } from "../shared/http/problem.ts";
import type { Secret } from "../shared/secret.ts";
import { Failure } from "./failure.ts";

const TIMEOUT_MS = 15_000;
export const JSON_LINES = "application/x-ndjson";
/** Answers without a known end: a pause of five minutes ends them. */
const STREAMS = ["text/event-stream", JSON_LINES];

/** An API of the platform: where it is, and how the user would set that. */
export interface Api {
  /** As in "the control plane". */
  name: string;
  address: string;
  /** The variable that holds the address, for hints. */
  setting: string;
  /** Called before each request; it may return the same token again. */
  token(): Promise<Secret>;
}

/**
 * Sends requests to an API whose errors are problem documents. Throws the StrongroomError that an error response
 * names, or a Failure (`unavailable`) if the API does not answer.
 */
export class ApiClient {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** The JSON of a successful response; undefined if it has no body. */
  async json<T>(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: object,
  ): Promise<T> {
    const response = await this.request(method, path, headers, body);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  async request(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: object,
  ): Promise<Response> {
    const streaming = STREAMS.includes(headers.Accept ?? "");
    const response = await this.#fetch(path, {
      method,
      headers: { ...headers, ...(body && { "Content-Type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
      ...(streaming ? {} : { signal: AbortSignal.timeout(TIMEOUT_MS) }),
      redirect: "error",
    });
    if (!response.ok) throw await problem(response, this.#api);
    return response;
  }

  /** The response of another server that the API relays, with any status. It takes as long as it takes. */
  async relayed(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: Buffer | undefined,
  ): Promise<Response> {
    const response = await this.#fetch(path, {
      ...{ method, headers, redirect: "manual" },
      ...(body && { body: new Uint8Array(body) }),
    });
    if (response.headers.get(ANSWER_OF) === "destination") return response;
    throw await problem(response, this.#api);
  }

  async #fetch(path: string, request: RequestInit & { headers: Record<string, string> }): Promise<Response> {
    const { name, address, token } = this.#api;
    const authorization = `Bearer ${(await token()).reveal()}`;
    try {
      return await fetch(`${address}${path}`, { ...request, headers: { ...request.headers, authorization } });
    } catch {
      throw new Failure(
        "unavailable",
        `The ${name} at ${address} does not answer`,
        "Is the platform running? Run: strongroom doctor",
      );
    }
  }
}

/** Whose answer it is, where a service relays those of others. */
const ANSWER_OF = "strongroom-answer";

/** The error that a problem document (RFC 9457) names, with the invalid parts of the request. */
async function problem(response: Response, { name, address, setting }: Api): Promise<Error> {
  const { code, detail, errors = [] } = (await response.json().catch(() => ({}))) as Partial<Problem>;
  if (!code && isVaults(errors)) {
    return new Failure(
      "config",
      `${address} is a gateway or a Vault, not ${/^[aeiou]/.test(name) ? "an" : "a"} ${name}`,
      `Set ${setting} to the ${name}'s address; run \`strongroom status\` on the platform's machine to see it`,
    );
  }
  if (!code || !ERROR_CODES.includes(code)) {
    return new Failure("failure", `The ${name} answered ${response.status}`);
  }
  const parts = errors.map(({ pointer, message }) =>
    [pointer.replace(/^\/(body\/)?/, ""), message].join(message.startsWith("must ") ? " " : ": "),
  );
  return new StrongroomError(code, parts.length > 0 ? parts.join("; ") : (detail ?? code));
}

/** Whether this is an error of Vault's API: a list of strings. */
const isVaults = (errors: unknown): boolean =>
  Array.isArray(errors) && errors.length > 0 && errors.every((each) => typeof each === "string");
