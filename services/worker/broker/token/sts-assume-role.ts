import { Value } from "typebox/value";
import { type Grant, tokenEndpoint } from "../../../shared/broker/grant.ts";
import { AwsKey } from "../../../shared/broker/inject.ts";
import { awsKeyOf, signSigV4 } from "../inject/sigv4.ts";
import { UseFailure } from "../use-failure.ts";
import { callEndpoint } from "./endpoint.ts";
import type { GrantRun, Issued } from "./issued.ts";
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
  const { host } = new URL(endpoint);
  const bytes = new TextEncoder().encode(body);
  const request = { method: "POST", path: "/", headers: [["content-type", FORM] as [string, string]] };
  const scope = { service: "sts", region: grant.region };
  const { headers } = await signSigV4(key, scope, host, { ...request, body: bytes }, now);
  const answer = await callEndpoint(exchange, { endpoint, method: "POST", headers, body: bytes });
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
