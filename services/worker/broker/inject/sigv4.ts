import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import { clearCredentialCache, SignatureV4 } from "@smithy/signature-v4";
import { Value } from "typebox/value";
import { AwsKey } from "../../../shared/broker/inject.ts";
import { UseFailure } from "../use-failure.ts";
import { type Prepared, type Unprepared, unusable, withHeaders } from "./prepared.ts";
import { splitPath } from "./url.ts";

/** What is signed is known only from the key: the caller's own would say otherwise. */
const OURS = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

export interface SigV4Scope {
  service: string;
  region: string;
}

/** Signs for AWS. The value is an {@link AwsKey} as JSON; the secret key is not sent. `now` is milliseconds since 1970. */
export async function injectSigV4(
  scope: SigV4Scope,
  host: string,
  value: Uint8Array,
  request: Unprepared,
  now: number,
): Promise<Prepared> {
  const key = awsKeyOf(value);
  const { path, headers } = await signSigV4(key, scope, host, request, now);
  const signature = headers.find(([name]) => name === "authorization")?.[1].split("Signature=")[1] ?? "";
  const texts = [
    key.secretAccessKey,
    signature,
    ...(key.sessionToken === undefined ? [] : [key.sessionToken]),
  ];
  return { path, headers, secrets: [value, ...texts.map((text) => Buffer.from(text))] };
}

/** The access key that a value is. Throws UseFailure `unusable_value`. */
export function awsKeyOf(value: Uint8Array): AwsKey {
  let key: unknown;
  try {
    key = JSON.parse(Buffer.from(value).toString("utf8"));
  } catch {
    throw unusable("the credential is not JSON");
  }
  if (Value.Check(AwsKey, key)) return key;
  throw unusable("the credential is no access key of AWS (accessKeyId, secretAccessKey)");
}

/**
 * The request with AWS Signature Version 4 in its headers. Headers of one name become one, and the query is sent as it is
 * signed. Only S3 signs the path as it is sent, once encoded, and wants the body's hash in a header.
 */
export async function signSigV4(
  key: AwsKey,
  { service, region }: SigV4Scope,
  host: string,
  { method, path, headers, body }: Unprepared,
  now: number,
): Promise<{ path: string; headers: [string, string][] }> {
  const isS3 = service.startsWith("s3");
  const [asCalled, queryText] = splitPath(path);
  const own = isS3
    ? asCalled
        .split("/")
        .map((segment) => encoded(decoded(segment)))
        .join("/")
    : asCalled;
  const query = queryText === undefined ? {} : queryOf(queryText);
  const signer = new SignatureV4({
    ...{ service, region, credentials: key, sha256: Sha256 },
    ...{ uriEscapePath: !isS3, applyChecksum: isS3 },
  });
  const bag = Object.fromEntries(joined(headers.filter(([name]) => !OURS.includes(name.toLowerCase()))));
  try {
    const signed = await signer.sign(
      { method, protocol: "https:", hostname: host, path: own, query, headers: { ...bag, host }, body },
      { signingDate: new Date(now) },
    );
    const added = Object.entries(signed.headers).filter(([name]) => OURS.includes(name));
    return { path: withQuery(own, query), headers: [...withHeaders(Object.entries(bag), added)] };
  } finally {
    // The library keeps the keys that it derives.
    clearCredentialCache();
  }
}

/** The query's members, decoded. */
function queryOf(text: string): Record<string, string[]> {
  if (text.includes("+")) throw ambiguous("a plus sign must be %2B and a space %20");
  const query = new Map<string, string[]>();
  for (const member of text.split("&").filter((each) => each !== "")) {
    const at = member.indexOf("=");
    const [name, value] = at < 0 ? [member, ""] : [member.slice(0, at), member.slice(at + 1)];
    query.set(decoded(name), [...(query.get(decoded(name)) ?? []), decoded(value)]);
  }
  return Object.fromEntries(query);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw ambiguous("what percent signs stand for must be UTF-8");
  }
}

const ambiguous = (why: string) =>
  new UseFailure("not_allowed", `what is signed is read in one way only: ${why}`, { part: "query" });

function withQuery(path: string, query: Record<string, string[]>): string {
  const members = Object.entries(query).flatMap(([name, values]) =>
    values.map((value) => `${encoded(name)}=${encoded(value)}`),
  );
  return members.length === 0 ? path : `${path}?${members.join("&")}`;
}

const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`);

/** Names in lower case, once each: what is signed for a name is its values with commas between. */
function joined(headers: readonly [string, string][]): Map<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of headers) {
    const before = values.get(name.toLowerCase());
    values.set(name.toLowerCase(), before === undefined ? value : `${before},${value}`);
  }
  return values;
}

type Bytes = string | ArrayBuffer | ArrayBufferView;
const bytesOf = (data: Bytes): Uint8Array | string => {
  if (typeof data === "string") return data;
  return ArrayBuffer.isView(data)
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    : Buffer.from(data);
};

/** Node's hash, or keyed hash, as the library wants it. */
class Sha256 {
  readonly #hash: Hash | Hmac;

  constructor(key?: Bytes) {
    this.#hash = key === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(key));
  }

  update(data: Bytes): void {
    this.#hash.update(bytesOf(data));
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}
