import type { Recipe } from "../../shared/broker/recipe.ts";
import { type METHODS, targetProblem } from "../../shared/work/destination.ts";
import { prepareRequest } from "../broker/inject/prepare.ts";
import { JobFailure } from "../job-failure.ts";
import type { Answer } from "../outbound/exchange.ts";
import { type Call, isSuccess, type RecipeSteps, refused } from "./recipes.ts";

type Rest = Extract<Recipe, { type: "rest" }>;
interface Request {
  method: (typeof METHODS)[number];
  path: string;
  body?: string;
}

const MOST_ANSWER_BYTES = 256 * 1024;
/** As for values that are put; see shared/api/credentials.ts. */
const VALUE_BYTES = { min: 8, max: 64 * 1024 };
const UNAUTHORIZED = [401, 403];
/** The key is gone already. */
const GONE = [404, 410];

/** A provider with an API for its keys. */
export const rest: RecipeSteps<Rest> = {
  async make(call, current, { once }) {
    const answer = await sendBy(call, current, call.recipe.create, [["Idempotency-Key", once]]);
    if (!isSuccess(answer)) throw refused(answer, "make a key");
    const made = parse(answer.body);
    const { key, id } = call.recipe;
    const text = at(made, key);
    const value = typeof text === "string" ? new Uint8Array(Buffer.from(text)) : undefined;
    if (!value || value.byteLength < VALUE_BYTES.min || value.byteLength > VALUE_BYTES.max) {
      throw new JobFailure("answer_unusable", "the provider's answer has no key where the recipe says");
    }
    const keyId = id === undefined ? undefined : at(made, id);
    const isId = typeof keyId === "string" || Number.isSafeInteger(keyId);
    if (id !== undefined && !isId) {
      value.fill(0);
      throw new JobFailure("answer_unusable", "the provider's answer has no key id where the recipe says");
    }
    return { value, ...(isId && { key: String(keyId) }) };
  },

  async check(call, value) {
    const { status: expected, ...request } = call.recipe.check;
    const answer = await sendBy(call, value, request);
    if (expected ? expected.includes(answer.status) : isSuccess(answer)) return;
    throw refused(answer, "check the key");
  },

  async revoke(call, current, key) {
    const { revoke } = call.recipe;
    if (!revoke) return;
    const inJson = JSON.stringify(key).slice(1, -1);
    const path = revoke.path.replaceAll("{id}", encodeURIComponent(key));
    // The id is the provider's, or a hostile intake's.
    if (targetProblem(path)) {
      throw new JobFailure("request_not_allowed", "the key's id would make another path of the recipe's");
    }
    const answer = await sendBy(call, current, {
      ...{ method: revoke.method, path },
      ...(revoke.body !== undefined && { body: revoke.body.replaceAll("{id}", () => inJson) }),
    });
    if (isSuccess(answer) || GONE.includes(answer.status)) return;
    if (UNAUTHORIZED.includes(answer.status)) {
      throw new JobFailure("provider_refused", "the provider does not let the key revoke another one");
    }
    throw refused(answer, "revoke a key");
  },
};

/** Sends a request of the recipe with a value injected as for any use. */
async function sendBy(
  { policy, send, now }: Call<Rest>,
  value: Uint8Array,
  { method, path, body }: Request,
  more: [name: string, value: string][] = [],
): Promise<Answer> {
  const bytes = body === undefined ? undefined : new Uint8Array(Buffer.from(body));
  const headers: [name: string, value: string][] = [
    ["Accept", "application/json"],
    ["Accept-Encoding", "identity"],
    ...(bytes ? [["Content-Type", "application/json"] satisfies [string, string]] : []),
    ...more,
  ];
  const request = { method, path, headers, ...(bytes && { body: bytes }) };
  const prepared = await prepareRequest(policy, value, request, now);
  try {
    return await send({
      ...{ origin: policy.origin, method, path: prepared.path, headers: prepared.headers },
      ...{ body: bytes, maxBody: MOST_ANSWER_BYTES },
    });
  } finally {
    for (const secret of prepared.secrets) if (secret !== value) secret.fill(0);
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw new JobFailure("answer_unusable", "the provider's answer is not JSON");
  } finally {
    body.fill(0);
  }
}

/** What stands at a JSON pointer (RFC 6901); undefined if nothing does. */
function at(value: unknown, pointer: string): unknown {
  let found = value;
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Record<string, unknown>)[name];
  }
  return found;
}
