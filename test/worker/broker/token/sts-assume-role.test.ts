import { createHash, createHmac } from "node:crypto";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { type Grant, tokenEndpoint } from "../../../../services/shared/broker/grant.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import { Tokens } from "../../../../services/worker/broker/token/tokens.ts";
import { connectByTcp } from "../../../../services/worker/outbound/dial.ts";
import { createExchange } from "../../../../services/worker/outbound/exchange.ts";
import { describeOnAws } from "../../../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../../../harness/aws/moto.ts";
import { policyOf, sealedCredential, who } from "../../../harness/granted-credential.ts";
import { memoryKeyProvider } from "../../../harness/key-provider.ts";
import {
  type ScriptedEndpoint,
  startScriptedEndpoint,
  type TokenRequest,
} from "../../../harness/token-endpoint.ts";

const moto = inject("moto");
const REGION = "eu-central-1";
const HOST = `sts.${REGION}.amazonaws.com`;
const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const KEY = JSON.stringify({ accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: SECRET });
const org = newOrgId();
const keys = memoryKeyProvider("memory:broker");

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();

/** Whether a request is signed as AWS documents it (Signature Version 4), computed here from that text alone. */
function isSigned({ headers, body }: TokenRequest): boolean {
  const [, credential = "", names = "", signature = ""] =
    /^AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? "",
    ) ?? [];
  const [accessKey, ...scope] = credential.split("/");
  const [date = ""] = scope;
  const time = String(headers["x-amz-date"]);
  const signedHeaders = names.split(";");
  const canonical = [
    ...["POST", "/", ""],
    ...signedHeaders.map((name) => `${name}:${headers[name]}`),
    ...["", names, sha256(body)],
  ].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", time, scope.join("/"), sha256(canonical)].join("\n");
  const key = ["sts", "aws4_request"].reduce(hmac, hmac(hmac(`AWS4${SECRET}`, date), REGION));
  return (
    accessKey === "AKIAIOSFODNN7EXAMPLE" &&
    ["content-type", "host", "x-amz-date"].every((name) => signedHeaders.includes(name)) &&
    Math.abs(Date.now() - Date.parse(time.replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5"))) <
      60_000 &&
    hmac(key, toSign).toString("hex") === signature
  );
}

const grant = (changes: object = {}): Extract<Grant, { type: "sts_assume_role" }> => ({
  ...{ type: "sts_assume_role", region: REGION, roleArn: "arn:aws:iam::123456789012:role/app", who },
  ...{ lifetimeSeconds: 3600, ...changes },
});

let server: MotoServer;
let front: ScriptedEndpoint;
beforeAll(async () => {
  front = await startScriptedEndpoint(HOST);
  if ("missing" in moto) return;
  server = await startMoto(moto);
});
afterAll(async () => {
  await front.close();
  await server?.stop();
});

/** Hands a request on to moto if its signature is right. */
const toMoto: ScriptedEndpoint["answer"] = (asked, response) => {
  if (!isSigned(asked)) return void response.writeHead(403).end();
  const headers = {
    "content-type": asked.headers["content-type"],
    authorization: asked.headers.authorization,
  };
  request(server.endpoint, { method: "POST", headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 500, { "Content-Type": "text/xml" });
    answer.pipe(response);
  }).end(asked.body);
};

async function obtain(changes: object, asked: object = {}) {
  const credential = await sealedCredential(keys, org, KEY, policyOf(grant(changes)));
  const exchange = createExchange({
    // The endpoint has AWS's own port.
    connect: (address) => connectByTcp(address, front.port),
    privateDestinations: new Map([[`https://${HOST}`, front.exception]]),
  });
  front.requests.length = 0;
  return await new Tokens(keys, exchange).obtain({ org, credential, asked, mayExchange: true });
}

describeOnAws("AWS STS, by moto on the wire", () => {
  test("assumes the role by a signed request, with the session policy and for as long as is allowed", async () => {
    front.answer = toMoto;
    const sessionPolicy = JSON.stringify({
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Action: "s3:GetObject", Resource: "*" }],
    });
    const obtained = await obtain({ sessionPolicy }, { seconds: 900 });
    if (!("token" in obtained)) throw new Error("no token");
    expect(obtained.token.type).toBe("aws");
    expect(obtained.token.lifeMs).toBeGreaterThan(840_000);
    expect(obtained.token.lifeMs).toBeLessThanOrEqual(960_000);
    expect(JSON.parse(Buffer.from(obtained.token.bytes).toString())).toEqual({
      ...{ accessKeyId: expect.stringMatching(/^ASIA/), secretAccessKey: expect.any(String) },
      sessionToken: expect.any(String),
    });
    const [sent] = front.requests;
    expect(Object.fromEntries(sent?.form ?? [])).toMatchObject({
      ...{ Action: "AssumeRole", DurationSeconds: "900", Policy: sessionPolicy },
      ...{ RoleArn: grant().roleArn, RoleSessionName: "strongroom-provider" },
    });
    expect(JSON.stringify(sent)).not.toContain(SECRET);
  });
});

describe("AWS STS that refuses, or is another", () => {
  const answered = (xml: string, status = 200) => {
    front.answer = (_, response) => void response.writeHead(status, { "Content-Type": "text/xml" }).end(xml);
  };

  test("a refusal has AWS's code", async () => {
    answered(
      "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>",
      403,
    );
    await expect(obtain({})).rejects.toMatchObject({
      ...{ failure: "provider_refused", parts: { status: 403, part: "AccessDenied" } },
    });
  });

  test("a session that lives longer than asked for is refused", async () => {
    const expiration = new Date(Date.now() + 7_200_000).toISOString();
    answered(
      `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>${"s".repeat(40)}</SecretAccessKey><SessionToken>${"t".repeat(40)}</SessionToken><Expiration>${expiration}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
    );
    await expect(obtain({})).rejects.toMatchObject({ failure: "provider_refused" });
  });

  test("fewer seconds than AWS allows are refused before anything is sent", async () => {
    await expect(obtain({}, { seconds: 600 })).rejects.toMatchObject({
      ...{ failure: "not_allowed", parts: { part: "seconds" } },
    });
    expect(front.requests).toEqual([]);
  });

  test("each partition has its own endpoint", () => {
    expect(tokenEndpoint(grant({ region: "cn-north-1" }))).toBe("https://sts.cn-north-1.amazonaws.com.cn/");
  });
});
