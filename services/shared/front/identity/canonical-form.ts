import { TokenRefused } from "./refused.ts";

/** A parsed JWT. Nothing in it has been verified. */
export interface UnverifiedToken {
  header: { alg: string; kid: string };
  payload: Record<string, unknown>;
  /** Header and payload as they were signed: `<base64url>.<base64url>`. */
  signingInput: string;
}

const MAX_TOKEN_LENGTH = 8 * 1024;
const MAX_KID_LENGTH = 256;

/** The only members allowed in a header; `crit`, `jku`, `jwk`, `x5u`, `x5c` and `b64` are refused. */
const HEADER_MEMBERS = new Set(["alg", "kid", "typ", "x5t", "x5t#S256"]);

/**
 * `typ` distinguishes a token from other objects signed by the same key. It is a media type, whose `application/` may
 * be omitted (RFC 7515, section 4.1.9; RFC 9068, section 2.1).
 */
const TYPES = new Set(["jwt", "at+jwt", "application/jwt", "application/at+jwt"]);

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Parses a compact JWS, and refuses any form but the canonical one: three parts of strict base64url (decoding and
 * encoding them again changes nothing), JSON objects in valid UTF-8 without duplicate members, a header of known
 * members. So a token has one spelling, and every parser reads the same. Throws TokenRefused.
 */
export function takeApart(token: string): UnverifiedToken {
  if (token.length > MAX_TOKEN_LENGTH) throw new TokenRefused("token_too_large");
  const [header64, payload64, signature64, ...more] = token.split(".");
  if (!header64 || !payload64 || !signature64 || more.length > 0) throw new TokenRefused("token_form");
  decodeStrictly(signature64);
  const header = jsonObject(decodeStrictly(header64));
  const payload = jsonObject(decodeStrictly(payload64));

  for (const member of Object.keys(header)) {
    if (!HEADER_MEMBERS.has(member)) throw new TokenRefused("token_header_member");
  }
  const { alg, kid, typ } = header;
  if (typeof alg !== "string") throw new TokenRefused("algorithm_not_allowed");
  if (typeof kid !== "string" || kid === "" || kid.length > MAX_KID_LENGTH) {
    throw new TokenRefused("kid_missing");
  }
  if (typ !== undefined && !(typeof typ === "string" && TYPES.has(typ.toLowerCase()))) {
    throw new TokenRefused("token_type");
  }
  return { header: { alg, kid }, payload, signingInput: `${header64}.${payload64}` };
}

/** Also refuses changed unused bits in the last character, with which a signature would still verify. */
function decodeStrictly(part: string): Buffer {
  const bytes = Buffer.from(part, "base64url");
  if (bytes.toString("base64url") !== part) throw new TokenRefused("token_form");
  return bytes;
}

function jsonObject(bytes: Buffer): Record<string, unknown> {
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw new TokenRefused("token_form");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value) || hasRepeatedMember(text)) {
    throw new TokenRefused("token_form");
  }
  return value as Record<string, unknown>;
}

const JSON_TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;

/** Whether any object in a valid JSON text has two members with the same name. */
export function hasRepeatedMember(json: string): boolean {
  /** The names seen in each open object; undefined for an open array. */
  const open: (Set<string> | undefined)[] = [];
  let text = "";
  for (const [token] of json.matchAll(JSON_TOKEN)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (token !== ":") text = token;
    else {
      const names = open.at(-1);
      const name = JSON.parse(text) as string; // "\u0069ss" is "iss"
      if (names?.has(name)) return true;
      names?.add(name);
    }
  }
  return false;
}
