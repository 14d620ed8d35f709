import { Agent, type Dispatcher } from "undici";
import type { CreateUse, UseWithResult } from "../../services/shared/api/uses.ts";
import type { Level } from "../../services/shared/org.ts";
import type { DestinationPolicy } from "../../services/shared/work/destination.ts";
import type { TestIssuer } from "./tokens.ts";

export interface ApiAnswer<T = Record<string, unknown>> {
  status: number;
  headers: Dispatcher.ResponseData["headers"];
  body: T;
  text: string;
}

export interface CallOptions {
  body?: unknown;
  headers?: Record<string, string>;
}

const TOKEN_KEPT_MS = 240_000;

/** Members' tokens: the same for four minutes, so that a service meets them again. */
export function memberTokens(issuer: TestIssuer): (claim: string, level: Level) => string {
  const kept = new Map<string, { token: string; until: number }>();
  return (claim, level) => {
    const key = `${claim}/${level}`;
    const held = kept.get(key);
    if (held && held.until > Date.now()) return held.token;
    const { orgClaim, groupsClaim } = issuer.issuer;
    const token = issuer.token({ [orgClaim]: claim, [groupsClaim]: level === "reader" ? [] : [level] });
    kept.set(key, { token, until: Date.now() + TOKEN_KEPT_MS });
    return token;
  };
}

/** A member's calls to the intake. */
export class CredentialClient {
  readonly #agent = new Agent({ connections: 128, keepAliveTimeout: 4_000 });
  readonly #address: string;

  constructor(address: string) {
    this.#address = address;
  }

  /** Throws if no answer comes. */
  async api<T>(
    method: Dispatcher.HttpMethod,
    path: string,
    token: string,
    { body, headers = {} }: CallOptions = {},
  ): Promise<ApiAnswer<T>> {
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const answer = await this.#agent.request({
      ...{ origin: this.#address, method, path },
      headers: { authorization: `Bearer ${token}`, ...type, ...headers },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.body.text();
    const json: unknown = text === "" ? undefined : JSON.parse(text);
    return { status: answer.statusCode, headers: answer.headers, text, body: json as T };
  }

  async putCredential(name: string, value: string, token: string, policy: DestinationPolicy): Promise<void> {
    const body = { value, destination: policy };
    const { status, text } = await this.api("PUT", `/v1/credentials/${name}`, token, { body });
    if (status !== 200 && status !== 201) throw new Error(`the credential was refused: ${status} ${text}`);
  }

  async runJob(use: CreateUse, token: string, headers: Record<string, string> = {}): Promise<UseWithResult> {
    const wait = { prefer: "wait=30", ...headers };
    const answer = await this.api<UseWithResult>("POST", "/v1/jobs", token, { body: use, headers: wait });
    if (answer.status === 200 || answer.status === 202) return answer.body;
    throw new Error(`the job was refused: ${answer.status} ${answer.text}`);
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}
