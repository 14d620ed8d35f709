import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import fc from "fast-check";
import type { TSchema } from "typebox";
import { Value } from "typebox/value";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { newOrgId } from "../../services/shared/org.ts";
import { ALL_PERMISSIONS, Stage } from "../control-plane/stage.ts";

/**
 * The control plane's API, asked at random by its own description: each operation with parameters and bodies that
 * fit it, nearly fit it or are anything, by operators, others and nobody, and its paths by every method. It answers
 * nothing that it does not describe, and no 5xx.
 */

const RUNS = process.env.ATTACK === "whole" ? 20_000 : 1_500;
const WITHIN_MS = process.env.ATTACK === "whole" ? 900_000 : 45_000;
/** Give the seed that a failed run has printed, to have the same run again. */
const SEED = Number(process.env.OPENAPI_SEED ?? Math.floor(Math.random() * 2 ** 31));

const PROBLEM = "application/problem+json";
const METHODS = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "QUERY",
  "PROPFIND",
  "LOCK",
];

type JsonSchema = Record<string, unknown>;
interface Operation {
  method: string;
  path: string;
  parameters: { in: "path" | "query" | "header"; name: string; required?: boolean; schema: JsonSchema }[];
  body: JsonSchema | undefined;
  responses: Record<string, { content?: Record<string, { schema?: JsonSchema; itemSchema?: JsonSchema }> }>;
}

interface Asked {
  operation: Operation;
  method: string;
  path: string;
  headers: OutgoingHttpHeaders;
  body: string | undefined;
  token: "operator" | "lesser" | "tenant" | "junk" | "none";
}

let stage: Stage;
let operations: Operation[];
/** Organizations and jobs that exist. */
let known: { orgs: string[]; jobs: string[] };
let tokens: Record<Asked["token"], string | undefined>;
beforeAll(async () => {
  stage = await Stage.open({ vaultBinary: inject("vaultBinary") });
  await stage.startControlPlane();
  const jobs = await Promise.all(["first", "second", "third"].map((name) => stage.create(name)));
  known = { orgs: jobs.map(({ org }) => org), jobs: jobs.map(({ id }) => id) };
  tokens = {
    operator: stage.token(ALL_PERMISSIONS),
    lesser: stage.token(["orgs:read"]),
    tenant: stage.issuer.token(),
    junk: "a.b.c",
    none: undefined,
  };
  const { paths } = await stage.json<{ paths: Record<string, Record<string, Record<string, never>>> }>(
    "GET",
    "/v1/openapi.json",
  );
  operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], requestBody, responses }]) => ({
      method: method.toUpperCase(),
      path,
      parameters,
      body: (requestBody as { content: Record<string, { schema: JsonSchema }> } | undefined)?.content[
        "application/json"
      ]?.schema,
      responses: responses ?? {},
    })),
  );
  expect(operations.length).toBeGreaterThan(10);
});
afterAll(() => stage?.close());

const junk = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom(
    "",
    " ",
    "null",
    "0",
    "-1",
    "..",
    "%",
    "%2f",
    "__proto__",
    "constructor",
    "a".repeat(2_000),
  ),
);
const anything = fc.oneof(
  junk,
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.array(fc.integer()),
);

/** Values that fit a schema; now and then one that does not. */
function fitting(schema: JsonSchema): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 12, arbitrary: exactly(schema) }, { weight: 1, arbitrary: anything });
}

function exactly(schema: JsonSchema): fc.Arbitrary<unknown> {
  const { type, pattern, enum: values, anyOf, properties = {}, required = [], items } = schema;
  const { minLength = 0, maxLength = 40, minimum = 0, maximum = 2 ** 40 } = schema as Record<string, number>;
  const { minItems = 0, maxItems = 3 } = schema as Record<string, number>;
  if (Array.isArray(anyOf)) return fc.oneof(...anyOf.map((each: JsonSchema) => exactly(each)));
  if (Array.isArray(values)) return fc.constantFrom(...values);
  if (type === "boolean") return fc.boolean();
  if (type === "integer") return fc.integer({ min: minimum, max: Math.min(maximum, 2 ** 31 - 1) });
  if (type === "array") {
    return fc.array(exactly((items ?? {}) as JsonSchema), {
      minLength: minItems,
      maxLength: Math.min(maxItems, 4),
    });
  }
  if (type === "object") {
    const members = Object.entries(properties as Record<string, JsonSchema>);
    const model = Object.fromEntries(members.map(([name, each]) => [name, fitting(each)]));
    const whole = fc.record(model, { requiredKeys: required as string[] });
    const more = fc
      .tuple(whole, junk, anything)
      .map(([object, name, value]) => ({ ...object, [name]: value }));
    return fc.oneof({ weight: 8, arbitrary: whole }, { weight: 1, arbitrary: more });
  }
  if (typeof pattern !== "string") return fc.string({ minLength, maxLength: Math.min(maxLength, 40) });
  const matching = fc.stringMatching(new RegExp(pattern));
  if (pattern.startsWith("^o["))
    return fc.oneof(fc.constantFrom(...known.orgs), fc.constant(newOrgId()), matching);
  if (pattern.startsWith("^j[")) return fc.oneof(fc.constantFrom(...known.jobs), matching);
  return matching;
}

const asText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
/** What a header can hold. */
const headerSafe = (text: string): string => text.replace(/[^\x20-\x7e]/g, "").slice(0, 1_000);

/** Made once: the patterns take their time. */
const asked = (): fc.Arbitrary<Asked> => fc.oneof(...operations.map(askedOf));

function askedOf(operation: Operation): fc.Arbitrary<Asked> {
  const of = (place: string) =>
    fc.record(
      Object.fromEntries(
        operation.parameters
          .filter((each) => each.in === place)
          .map(({ name, schema }) => [name, fitting(schema)]),
      ),
      { requiredKeys: place === "path" ? undefined : [] } as { requiredKeys: never[] },
    );
  const method = fc.oneof(
    { weight: 5, arbitrary: fc.constant(operation.method) },
    { weight: 1, arbitrary: fc.constantFrom(...METHODS) },
  );
  const body = operation.body
    ? fitting(operation.body).map((value) => JSON.stringify(value))
    : fc.constant(undefined);
  return fc
    .record({
      method,
      inPath: of("path"),
      query: fc.oneof(
        { weight: 4, arbitrary: of("query") },
        { weight: 1, arbitrary: fc.dictionary(junk, junk, { maxKeys: 2 }) },
      ),
      inHeaders: of("header"),
      body: fc.oneof(
        { weight: 8, arbitrary: body },
        { weight: 1, arbitrary: fc.oneof(junk, fc.constant("{"), fc.constant("x".repeat(70_000))) },
      ),
      type: fc.oneof(
        { weight: 8, arbitrary: fc.constant("application/json") },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            undefined,
            "",
            "text/plain",
            "application/json; charset=utf-16",
            "a/b;=",
            "multipart/form-data",
          ),
        },
      ),
      accept: fc.constantFrom(undefined, "*/*", "text/html", "text/event-stream"),
      token: fc.constantFrom<Asked["token"]>(
        "operator",
        "operator",
        "operator",
        "operator",
        "lesser",
        "tenant",
        "junk",
        "none",
      ),
    })
    .map(({ method, inPath, query, inHeaders, body, type, accept, token }): Asked => {
      const path = operation.path.replace(/{(\w+)}/g, (_, name) =>
        encodeURIComponent(asText((inPath as Record<string, unknown>)[name]).toWellFormed()),
      );
      const search = new URLSearchParams(
        Object.entries(query).map(([name, value]): [string, string] => [name, asText(value).toWellFormed()]),
      ).toString();
      const given = Object.entries(inHeaders).map(([name, value]) => [name, headerSafe(asText(value))]);
      const hasBody = body !== undefined && !["GET", "HEAD", "TRACE"].includes(method);
      return {
        ...{ operation, method, token, path: search ? `${path}?${search}` : path },
        headers: {
          ...Object.fromEntries(given),
          ...(accept && { accept }),
          ...(hasBody && type !== undefined && { "content-type": type }),
        },
        body: hasBody ? body : undefined,
      };
    });
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/**
 * A stream of events is left once it has begun. Undefined if a large body was cut off before the answer to it was
 * read: nobody reads such a body to its end.
 */
function ask({ method, path, headers, body, token }: Asked): Promise<Answer | undefined> {
  const { hostname, port } = new URL(stage.address);
  const bearer = tokens[token];
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      {
        ...{ hostname, port, method, path, agent: false },
        headers: {
          ...headers,
          ...(bearer && { authorization: `Bearer ${bearer}` }),
          ...(body !== undefined && { "content-length": Buffer.byteLength(body) }),
        },
      },
      (response) => {
        const { statusCode: status = 0, headers } = response;
        let text = "";
        const done = () => resolve({ status, headers, text });
        if (headers["content-type"] === "text/event-stream") {
          sent.destroy();
          return done();
        }
        response.setEncoding("utf8").on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", done).on("error", reject);
      },
    );
    sent
      .on("error", (error) => (body && body.length > 60_000 ? resolve(undefined) : reject(error)))
      .end(body);
  });
}

function expectDescribed({ operation, method, path }: Asked, { status, headers, text }: Answer): void {
  const same = operations.filter((each) => each.path === operation.path);
  const described = same.find((each) => each.method === method);
  const hasEmptyPart = path.replace(/\?.*/, "").slice(1).split("/").includes("");
  expect(status, text).toBeLessThan(500);
  expect(headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  if (hasEmptyPart) {
    expect([400, 404]).toContain(status); // no path of ours, or an empty parameter between two others' parts
  } else if (!described) {
    // A path that the router cannot read is refused before its method is.
    expect([400, 405]).toContain(status);
    const allow = same.map((each) => each.method).sort();
    if (status === 405) expect(headers.allow).toBe(allow.join(", "));
  } else {
    expect(Object.keys(described.responses), `${method} ${operation.path}`).toContain(`${status}`);
    const content = described.responses[status]?.content;
    const type = headers["content-type"]?.split(";")[0] ?? "";
    if (content) expect(Object.keys(content)).toContain(type);
    const schema = content?.[type]?.schema;
    if (schema && type.endsWith("json")) {
      expect([...Value.Errors(schema as TSchema, JSON.parse(text))], text).toEqual([]);
    }
  }
  if (status < 400 || method === "HEAD") return;
  expect(headers["content-type"]).toBe(PROBLEM);
  expect(JSON.parse(text)).toMatchObject({
    status,
    requestId: headers["x-request-id"],
    detail: expect.any(String),
  });
  expect(text).not.toMatch(/\bat .*\.[jt]s:\d+|node_modules/);
}

test("whatever is asked, the answer is one that its description names, and no 5xx", {
  timeout: WITHIN_MS + 60_000,
}, async () => {
  const seen = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(asked(), async (request) => {
      const answer = await ask(request);
      if (!answer) return;
      seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
      expectDescribed(request, answer);
    }),
    { seed: SEED, numRuns: RUNS, interruptAfterTimeLimit: WITHIN_MS, markInterruptAsFailure: false },
  );
  const answers = [...seen].sort(([a], [b]) => a - b).map(([status, times]) => `${status}: ${times}`);
  process.stdout.write(`openapi: ${answers.join(", ")}\n`);
  for (const status of [200, 400, 401, 403, 404, 405]) expect(seen.has(status), `${status}`).toBe(true);
});

test("what is sent as events is what is described", async () => {
  const events = operations.find(({ path }) => path.endsWith("/events"));
  const item = events?.responses[200]?.content?.["text/event-stream"]?.itemSchema as {
    properties: Record<string, JsonSchema>;
  };
  const leave = new AbortController();
  const response = await fetch(`${stage.address}/v1/jobs/${known.jobs[0]}/events`, {
    headers: { authorization: `Bearer ${tokens.operator}` },
    signal: leave.signal,
  });
  let text = "";
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (text.includes("\n\n")) break;
  }
  leave.abort();
  const [first = ""] = text.split("\n\n");
  const sent = Object.fromEntries(first.split("\n").map((line) => line.split(/: (.*)/s, 2)));
  expect(Value.Check(item as unknown as TSchema, sent)).toBe(true);
  const data = item.properties.data?.contentSchema as TSchema;
  expect([...Value.Errors(data, JSON.parse(sent.data))]).toEqual([]);
});

test("a revocation's body is one of three, and the description says so", () => {
  const revoke = operations.find(
    ({ method, path }) => method === "POST" && path.endsWith("{id}/revocations"),
  );
  const schema = revoke?.body as unknown as TSchema;
  for (const good of [
    { tokenId: "a" },
    { token: "a".repeat(43) },
    { subject: "a" },
    { subject: "a", issuedUntil: 1 },
  ]) {
    expect(Value.Check(schema, good), JSON.stringify(good)).toBe(true);
  }
  for (const bad of [
    {},
    { tokenId: "a", subject: "a" },
    { tokenId: "a", issuedUntil: 1 },
    { issuedUntil: 1 },
  ]) {
    expect(Value.Check(schema, bad), JSON.stringify(bad)).toBe(false);
  }
});
