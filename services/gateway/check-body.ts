import { StrongroomError } from "../shared/errors.ts";
import type { Verb } from "./routes.ts";

/** Well within Vault's own limits, beyond which it answers 500 rather than 400. */
const MAX_DEPTH = 100;
const MAX_MEMBERS = 5_000;
const MAX_TOKENS = 200_000;

const MERGE_PATCH = "application/merge-patch+json";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Checks the body of a write: an object in JSON that every reader reads alike, of bounded depth and width,
 * since Vault answers 500 to some that are not. Throws `unsupported_media_type` or `invalid_request`.
 */
export function checkBody(body: Buffer, contentType: string | undefined, verb: Verb): void {
  // Of other bodies Vault does not ask the type, and clients say form, text or nothing of their JSON.
  if (verb.body === "merge-patch" && contentType?.split(";", 1)[0]?.trim().toLowerCase() !== MERGE_PATCH) {
    throw new StrongroomError("unsupported_media_type", `The body must be ${MERGE_PATCH}.`);
  }
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(body);
    value = JSON.parse(text);
  } catch {
    throw invalid("it is not JSON");
  }
  if (!isObject(value)) throw invalid("it is not a JSON object");
  checkTokens(text);
  for (const name of verb.objects ?? []) {
    if (!isObject(value[name])) throw invalid(`it has no object ${name}`);
  }
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|-?[0-9][0-9.eE+-]*/g;
const SURROGATE = /\\u[dD][89a-fA-F][0-9a-fA-F]{2}/g;

/** Walks over a text that is valid JSON. */
function checkTokens(text: string): void {
  /** For each open container its members so far, and for an object their names. */
  const open: { members: number; names?: Set<string> }[] = [];
  let tokens = 0;
  let last = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (++tokens > MAX_TOKENS) throw invalid("it has too many parts");
    if (token === "{" || token === "[") {
      open.push(token === "{" ? { members: 0, names: new Set() } : { members: 0 });
      if (open.length > MAX_DEPTH) throw invalid("it is too deep");
    } else if (token === "}" || token === "]") open.pop();
    else if (token === "," || token === ":") {
      const container = open.at(-1);
      if (token === "," && container && ++container.members >= MAX_MEMBERS) throw invalid("it is too wide");
      if (token === ":") checkName(last, container?.names);
    } else if (token.startsWith('"')) checkString(token);
    else if (!Number.isFinite(Number(token))) throw invalid("it has a number that is too large");
    last = token;
  }
}

/** Vault reads every escaped half of a surrogate pair as the same character, and so must we here. */
function checkName(token: string, names: Set<string> | undefined): void {
  const name = JSON.parse(token.replace(SURROGATE, "\ufffd")) as string;
  if (names?.has(name)) throw invalid("it has a member twice");
  names?.add(name);
}

function checkString(token: string): void {
  if (!token.includes("\\")) return;
  if (!(JSON.parse(token) as string).isWellFormed()) throw invalid("it has half of a surrogate pair");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const invalid = (why: string) => new StrongroomError("invalid_request", `The body is refused: ${why}.`);
