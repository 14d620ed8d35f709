import { Value } from "typebox/value";
import { AwsKey } from "../../shared/broker/inject.ts";
import { iamOf, type Recipe } from "../../shared/broker/recipe.ts";
import { awsKeyOf, signSigV4 } from "../broker/inject/sigv4.ts";
import { JobFailure } from "../job-failure.ts";
import type { Answer } from "../outbound/exchange.ts";
import { type Call, isSuccess, type RecipeSteps, refused } from "./recipes.ts";

type AwsAccessKey = Extract<Recipe, { type: "aws_access_key" }>;
interface ListedKey {
  id: string;
  /** Seconds since 1970. */
  createdAt: number;
}

const API_VERSION = "2010-05-08";
const MOST_ANSWER_BYTES = 64 * 1024;
/** AWS's own quota, which cannot be raised. */
const MOST_KEYS = 2;
/** By how much AWS's clock may be behind. */
const SKEW_SECONDS = 30;

/**
 * An access key of an IAM user, which makes its own successor. AWS allows two keys a user: of a key that was made and
 * whose secret was lost nothing but its never having been used is known, and so much is asked before it is deleted.
 */
export const awsAccessKey: RecipeSteps<AwsAccessKey> = {
  async make(call, current, { lostSince }) {
    const key = awsKey(current);
    const others = (await listKeys(call, key)).filter(({ id }) => id !== key.accessKeyId);
    let left = others.length;
    for (const { id, createdAt } of others) {
      if (createdAt < lostSince - SKEW_SECONDS || (await isUsed(call, key, id))) continue;
      await deleteKey(call, key, id);
      left--;
    }
    if (left >= MOST_KEYS - 1) {
      const detail = "the user has another access key already, which this rotation did not make: delete it";
      throw new JobFailure("provider_refused", detail);
    }
    const answer = await ask(call, key, "CreateAccessKey");
    if (!isSuccess(answer)) throw refusedBy(answer, "make an access key");
    const xml = answer.body.toString("utf8");
    answer.body.fill(0);
    const made = {
      accessKeyId: one(xml, "AccessKeyId") ?? "",
      secretAccessKey: one(xml, "SecretAccessKey") ?? "",
    };
    if (!Value.Check(AwsKey, made)) throw unusable("has no access key");
    const value = new Uint8Array(Buffer.from(JSON.stringify(made)));
    return { value, key: made.accessKeyId, currentKey: key.accessKeyId };
  },

  async check(call, value) {
    await listKeys(call, awsKey(value));
  },

  async revoke(call, current, id) {
    await deleteKey(call, awsKey(current), id);
  },

  keyOf: (value) => awsKey(value).accessKeyId,
};

/** A key that does not expire by itself. Throws UseFailure and JobFailure. */
function awsKey(value: Uint8Array): AwsKey {
  const key = awsKeyOf(value);
  if (key.sessionToken === undefined) return key;
  throw new JobFailure("request_not_allowed", "the value is a session's key, which cannot be rotated");
}

async function listKeys(call: Call<AwsAccessKey>, key: AwsKey): Promise<ListedKey[]> {
  const answer = await ask(call, key, "ListAccessKeys");
  if (!isSuccess(answer)) throw refusedBy(answer, "list the user's access keys");
  const xml = answer.body.toString("utf8");
  return all(xml, "member").map((member) => {
    const id = one(member, "AccessKeyId");
    const createdAt = Date.parse(one(member, "CreateDate") ?? "") / 1000;
    if (id === undefined || Number.isNaN(createdAt)) throw unusable("has a key without id or time");
    return { id, createdAt };
  });
}

async function isUsed(call: Call<AwsAccessKey>, key: AwsKey, id: string): Promise<boolean> {
  const answer = await ask(call, key, "GetAccessKeyLastUsed", { AccessKeyId: id });
  if (!isSuccess(answer)) throw refusedBy(answer, "tell when an access key was last used");
  const xml = answer.body.toString("utf8");
  if (one(xml, "AccessKeyLastUsed") === undefined) throw unusable("does not tell when the key was used");
  return one(xml, "LastUsedDate") !== undefined;
}

async function deleteKey(call: Call<AwsAccessKey>, key: AwsKey, id: string): Promise<void> {
  const answer = await ask(call, key, "DeleteAccessKey", { AccessKeyId: id });
  if (isSuccess(answer) || errorCode(answer) === "NoSuchEntity") return;
  throw refusedBy(answer, "delete an access key");
}

/** Calls IAM, signed by a key. Only `userName` of the recipe says whose keys: without it, the key's own user's. */
async function ask(
  { recipe, policy, send, now }: Call<AwsAccessKey>,
  key: AwsKey,
  action: string,
  parameters: Record<string, string> = {},
): Promise<Answer> {
  const { origin, region } = iamOf("sigv4" in policy.inject ? policy.inject.sigv4.region : undefined);
  const isForUser = recipe.userName !== undefined && action !== "GetAccessKeyLastUsed";
  const body = new URLSearchParams({
    ...{ Action: action, Version: API_VERSION, ...parameters },
    ...(isForUser && { UserName: recipe.userName }),
  }).toString();
  const bytes = new Uint8Array(Buffer.from(body));
  const request = {
    ...{ method: "POST", path: "/", body: bytes },
    headers: [
      ["Content-Type", "application/x-www-form-urlencoded; charset=utf-8"],
      ["Accept-Encoding", "identity"],
    ] satisfies [string, string][],
  };
  const { headers } = await signSigV4(key, { service: "iam", region }, new URL(origin).host, request, now);
  const sent = headers.filter(([name]) => name.toLowerCase() !== "host");
  return send({ origin, method: "POST", path: "/", headers: sent, body: bytes, maxBody: MOST_ANSWER_BYTES });
}

/** IAM's answers are XML without attributes within these elements, CDATA and nesting of a name in itself. */
const all = (xml: string, name: string): string[] =>
  Array.from(xml.matchAll(new RegExp(`<${name}>([^]*?)</${name}>`, "g")), ([, text = ""]) => text);

/** The text of the one element of a name; undefined if there is none, or more. */
function one(xml: string, name: string): string | undefined {
  const found = all(xml, name);
  return found.length === 1 ? found[0] : undefined;
}

/** A secret may hold a slash or a plus sign, and nothing that XML escapes. */
const errorCode = ({ body }: Answer): string | undefined => one(body.toString("utf8"), "Code");

function refusedBy(answer: Answer, what: string): JobFailure {
  const isThrottled = /^(Throttling|RequestLimitExceeded|ServiceUnavailable)/.test(errorCode(answer) ?? "");
  return isThrottled ? refused({ ...answer, status: 503 }, what) : refused(answer, what);
}

const unusable = (what: string) => new JobFailure("answer_unusable", `the answer of IAM ${what}`);
