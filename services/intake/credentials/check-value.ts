import type { TSchema } from "typebox";
import { Value } from "typebox/value";
import { type PutCredential, VALUE_BYTES } from "../../shared/api/credentials.ts";
import { RefreshValue } from "../../shared/broker/grant.ts";
import { AwsKey } from "../../shared/broker/inject.ts";
import type { BrokerPolicy } from "../../shared/broker/policy.ts";
import { StrongroomError } from "../../shared/errors.ts";

/** What a header's value may contain: RFC 9110's visible characters and spaces within. */
const HEADER_TEXT = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/;
/** The frame of a private key, as OpenSSL and cloud consoles write it. */
const PRIVATE_KEY =
  /^-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----\r?\n[A-Za-z0-9+/=\r\n]+\r?\n-----END \1-----\s*$/;

/**
 * The bytes of a value, which the caller zeroes. It must be text that a header can carry, or what the broker's `policy`
 * needs. Throws `invalid_value`, also if it is too short to be found in an answer, and `body_too_large`.
 */
export function valueBytes(value: string, policy?: BrokerPolicy): Uint8Array {
  const length = Buffer.byteLength(value);
  checkLength(length);
  const forms = policy ? formsOf(policy) : (["header"] as const);
  const problem = forms.map((form) => FORMS[form](value)).find((each) => each !== undefined);
  // The last successful match keeps its subject alive.
  /^/.test("");
  if (problem) throw invalid(problem);
  const bytes = new Uint8Array(length);
  new TextEncoder().encodeInto(value, bytes);
  return bytes;
}

/** What a value may have to be. Each returns what is wrong with a text, without a word of it. */
const FORMS = {
  header: (value: string) =>
    HEADER_TEXT.test(value)
      ? undefined
      : "contains characters that a header cannot carry (or begins or ends with a space)",
  text: (value: string) => (value.isWellFormed() ? undefined : "is not well-formed Unicode"),
  privateKey: (value: string) => (PRIVATE_KEY.test(value) ? undefined : "is not a private key as PEM"),
  awsKey: (value: string) =>
    isJson(value, AwsKey) ? undefined : "is not JSON with `accessKeyId` and `secretAccessKey` of AWS",
  refreshToken: (value: string) =>
    isJson(value, RefreshValue) ? undefined : "is not JSON with `refreshToken` and, if any, `clientSecret`",
} as const;
type Form = keyof typeof FORMS;

function formsOf({ inject, grant, rotation }: BrokerPolicy): Form[] {
  const forms: Form[] = [injectedForm(inject)];
  if (grant) forms.push(grantedForm(grant));
  if (rotation?.type === "aws_access_key") forms.push("awsKey");
  return forms;
}

function injectedForm(inject: BrokerPolicy["inject"]): Form {
  if ("sigv4" in inject) return "awsKey";
  if ("jwt" in inject) return signingForm(inject.jwt.algorithm);
  // The broker sends what the grant obtains.
  return "hmac" in inject || "token" in inject ? "text" : "header";
}

function grantedForm(grant: NonNullable<BrokerPolicy["grant"]>): Form {
  switch (grant.type) {
    case "client_credentials":
    case "token_exchange":
      return "header";
    case "refresh_token":
      return "refreshToken";
    case "jwt_bearer":
      return signingForm(grant.algorithm);
    case "github_app":
      return "privateKey";
    case "sts_assume_role":
      return "awsKey";
  }
}

const signingForm = (algorithm: string): Form => (algorithm === "HS256" ? "text" : "privateKey");

function isJson(text: string, schema: TSchema): boolean {
  try {
    return Value.Check(schema, JSON.parse(text));
  } catch {
    return false;
  }
}

/** The longest value of a header that a worker sends: destinations take 8 to 16 KiB for all headers together. */
const MOST_HEADER_BYTES = 8_192;

/** Throws `invalid_value` if the header would be too long with a value of so many bytes in its format. */
export function checkHeaderLength(bytes: number, { inject }: PutCredential["destination"]): void {
  if (!("format" in inject) || inject.format.length - 2 + bytes <= MOST_HEADER_BYTES) return;
  throw invalid(`makes its header longer than ${MOST_HEADER_BYTES} bytes, which destinations do not take`);
}

/** Throws `invalid_value` or `body_too_large` unless a value may have so many bytes. */
export function checkLength(bytes: number): void {
  if (bytes > VALUE_BYTES.max) {
    throw new StrongroomError("body_too_large", `The value is longer than ${VALUE_BYTES.max / 1024} KiB.`);
  }
  if (bytes < VALUE_BYTES.min) {
    throw invalid(`has fewer than ${VALUE_BYTES.min} bytes: too short to be found in an answer and removed`);
  }
}

const invalid = (message: string) =>
  new StrongroomError("invalid_value", `The value ${message}.`, {
    errors: [{ pointer: "/body/value", message }],
  });
