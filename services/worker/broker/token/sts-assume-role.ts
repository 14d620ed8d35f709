import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import { Value } from "typebox/value";
import { type Grant, tokenEndpoint } from "../../../shared/broker/grant.ts";
import { AwsKey } from "../../../shared/broker/inject.ts";
import { UseFailure } from "../use-failure.ts";
import { callEndpoint } from "./endpoint.ts";
import { type GrantRun, type Issued, textOf } from "./issued.ts";
import { parseAssumedRole, parseErrorCode } from "./sts-answer.ts";

type StsAssumeRole = Extract<Grant, { type: "sts_assume_role" }>;

const CLOCK_SECONDS = 60;
const FORM = "application/x-www-form-urlencoded; charset=utf-8";

/** AWS STS AssumeRole. The value is an access key as JSON, whose secret is never sent. The token is such JSON, too. */
export async function stsAssumeRole(run: GrantRun<StsAssumeRole>): Promise<Issued> {
  const { grant, value, narrowed, credential, exchange, now } = run;
  const key = awsKeyOf(value);
  const endpoint = tokenEndpoint(grant);
  const body = new URLSearchParams({
    ...{ Action: "AssumeRole", Version: "2011-06-15", RoleArn: grant.roleArn },
    RoleSessionName: `strongroom-${credential}`.slice(0, 64),
    DurationSeconds: String(narrowed.seconds),
    ...(narrowed.sessionPolicy !== undefined && { Policy: narrowed.sessionPolicy }),
  }).toString();
  const signer = new SignatureV4({
    ...{ credentials: key, region: grant.region, service: "sts", sha256: NodeHash, applyChecksum: true },
  });
  const { host: hostname } = new URL(endpoint);
  const signed = await signer.sign(
    {
      ...{ method: "POST", protocol: "https:", hostname, path: "/", query: {}, body },
      headers: { host: hostname, "content-type": FORM },
    },
    { signingDate: new Date(now) },
  );
  const headers = Object.entries(signed.headers).filter(([name]) => name !== "host");
  const answer = await callEndpoint(exchange, {
    ...{ endpoint, method: "POST", headers, body: new TextEncoder().encode(body) },
  });
  const { status } = answer;
  if (status !== 200) {
    const part = parseErrorCode(answer.body);
    const detail = `AWS STS refused (status ${status}${part ? `, ${part}` : ""})`;
    throw new UseFailure("provider_refused", detail, { status, ...(part !== undefined && { part }) });
  }
  const { expiresAt, ...session } = parseAssumedRole(answer.body);
  if (!Value.Check(AwsKey, session)) {
    throw new UseFailure("answer_unusable", "AWS STS's answer has no credentials");
  }
  return {
    ...{ token: JSON.stringify(session), type: "aws", wider: false, toleranceSeconds: CLOCK_SECONDS },
    lifeSeconds: (expiresAt - now) / 1000,
    secrets: [],
  };
}

function awsKeyOf(value: Uint8Array): AwsKey {
  try {
    const parsed: unknown = JSON.parse(textOf(value));
    if (Value.Check(AwsKey, parsed)) return parsed;
  } catch {
    // refused below
  }
  throw new UseFailure("unusable_value", "the credential's value is not the JSON of an AWS access key");
}

/** SHA-256, and HMAC if there is a key, as the signer takes it. */
class NodeHash {
  #hash: Hash | Hmac;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash =
      secret === undefined ? createHash("sha256") : createHmac("sha256", secret as string | Uint8Array);
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(data as string | Uint8Array);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    this.#hash = createHash("sha256");
  }
}
