import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { sealingKeyContext } from "../../services/shared/envelope/context.ts";
import {
  makeSealingKeyPair,
  openResult,
  openValue,
  sealValue,
} from "../../services/shared/envelope/sealing.ts";
import type { Outcome } from "../../services/shared/work/messages.ts";
import { formsIn, formsOf } from "../harness/canary.ts";
import { newJobId } from "../harness/credential-jobs.ts";
import { type Takeover, takeOverIntake } from "../harness/takeover.ts";

/*
 * What remains possible for hostile code in the intake's place, as the threat model names it: uses that it may ask for,
 * and what it gets of them. A destination that its customer trusts with a value may show it to others; the worker removes
 * what it finds.
 */

let takeover: Takeover;
let value: string;
let forms: ReturnType<typeof formsOf>;
beforeAll(async () => {
  takeover = await takeOverIntake(inject("vaultBinary"));
  value = takeover.values.victim;
  forms = formsOf(value);
});
afterAll(() => takeover?.stop());
beforeEach(() => {
  for (const destination of takeover.platform.destinations) {
    destination.clear();
    destination.answer = undefined;
  }
});

type Answered = Extract<Outcome, { state: "answered" }>;
const answered = (outcome: Outcome): Answered => {
  if (outcome.state !== "answered") throw new Error(`the job ended ${JSON.stringify(outcome)}`);
  return outcome;
};
const textOf = (outcome: Outcome) => Buffer.from(answered(outcome).body, "base64").toString("latin1");

describe("a destination that shows the value", () => {
  const hex = (text: string) => Buffer.from(text, "latin1").toString("hex");
  const base64 = (text: string) => Buffer.from(text, "latin1").toString("base64");
  const echoes: [string, (value: string, response: ServerResponse) => void][] = [
    ["in clear", (value, response) => response.end(`{"authorization":"Bearer ${value}"}`)],
    ["in base64", (value, response) => response.end(base64(value))],
    ["in base64, one byte on", (value, response) => response.end(base64(`a${value}b`))],
    ["in base64, two bytes on", (value, response) => response.end(base64(`ab${value}`))],
    ["in base64url", (value, response) => response.end(Buffer.from(`a:${value}`).toString("base64url"))],
    ["in base64 in lines", (value, response) => response.end(base64(value).replace(/.{8}/g, "$&\r\n"))],
    ["in hex", (value, response) => response.end(hex(value))],
    ["in upper-case hex", (value, response) => response.end(hex(value).toUpperCase())],
    ["percent-encoded", (value, response) => response.end(encodeURIComponent(value))],
    [
      "percent-encoded, each byte",
      (value, response) => response.end(hex(value).replace(/../g, (pair) => `%${pair}`)),
    ],
    [
      "escaped as JSON",
      (value, response) => response.end([...value].map((each) => `\\u00${hex(each)}`).join("")),
    ],
    ["as HTML entities", (value, response) => response.end([...value].map((c) => `&#x${hex(c)};`).join(""))],
    ["as UTF-16", (value, response) => response.end(Buffer.from(value, "utf16le"))],
    [
      "byte by byte",
      (value, response) => {
        for (const each of value) response.write(each);
        response.end();
      },
    ],
    [
      "across the border of two chunks",
      (value, response) => {
        response.write(`x${value.slice(0, 9)}`);
        setTimeout(() => response.end(value.slice(9)), 20);
      },
    ],
    ["in a header", (value, response) => response.writeHead(200, { "X-Echo": `a ${value}` }).end()],
    ["in a header's name", (value, response) => response.writeHead(200, { [hex(value)]: "a" }).end()],
    [
      "in a cookie",
      (value, response) => response.writeHead(200, { "Set-Cookie": `a=${encodeURIComponent(value)}` }).end(),
    ],
    ["in the reason phrase", (value, response) => response.writeHead(200, value).end()],
    [
      "in a redirect",
      (value, response) =>
        response.writeHead(302, { Location: `${takeover.elsewhere}/?a=${encodeURIComponent(value)}` }).end(),
    ],
    [
      "in a trailer",
      (value, response) => {
        response.writeHead(200, { Trailer: "X-Echo" });
        response.write("a");
        response.addTrailers({ "X-Echo": value });
        response.end();
      },
    ],
    ["in an error", (value, response) => response.writeHead(401).end(`invalid key ${value}`)],
    ["a hundred times", (value, response) => response.end(`${value},`.repeat(100))],
  ];

  test.each(echoes)("%s: the worker removes it", async (_, echo) => {
    const { thief, victim, platform } = takeover;
    platform.destination.answer = ({ headers }, response) =>
      echo(headers.authorization?.replace("Bearer ", "") ?? "", response);
    const outcome = await thief.send("integration", await thief.use(victim));
    expect(formsIn(JSON.stringify(outcome), forms)).toEqual([]);
    expect(formsIn(Buffer.from(answered(outcome).body, "base64"), forms)).toEqual([]);
    expect(platform.destinations[1]?.connections).toBe(0);
  });

  test("in a compressed answer: the worker drops the answer", async () => {
    const { thief, victim, platform } = takeover;
    platform.destination.answer = (_, response) =>
      response.writeHead(200, { "Content-Encoding": "gzip" }).end("x");
    const outcome = await thief.send("integration", await thief.use(victim));
    expect(outcome).toMatchObject({ state: "failed", failure: "answer_not_scrubbable" });
  });

  test("in a way that the worker does not know: this remains possible, and the customer's policy is the wall", async () => {
    const { thief, victim, platform } = takeover;
    platform.destination.answer = (_, response) => response.end([...value].reverse().join(""));
    const outcome = await thief.send("integration", await thief.use(victim));
    expect(formsIn(textOf(outcome), forms)).toEqual(["reversed"]);
  });

  test("to a guess: each answer tells whether a whole value was guessed, and nothing of a part", async () => {
    const { thief, victim, platform } = takeover;
    platform.destination.answer = ({ body }, response) => response.end(body);
    const guess = async (text: string) => {
      const body = Buffer.from(text, "latin1").toString("base64");
      return answered(await thief.send("integration", await thief.use(victim, { method: "POST", body })))
        .scrubbed;
    };
    expect(await guess(value)).toBe(1);
    expect(await guess(value.slice(0, -1))).toBe(0);
    expect(await guess(value.slice(1))).toBe(0);
    expect(await guess(Buffer.from(value).toString("base64").slice(0, -4))).toBe(0);
  });
});

describe("remains possible", () => {
  test("to use a credential as its policy allows, and to read request and answer", async () => {
    const { thief, victim, platform } = takeover;
    platform.destination.answer = (_, response) => response.end("balance: 5");
    const request = {
      method: "POST",
      path: "/v1/transfers",
      body: Buffer.from("all of it").toString("base64"),
    };
    expect(textOf(await thief.send("integration", await thief.use(victim, request)))).toBe("balance: 5");
    expect(String(platform.destination.effects[0]?.body)).toBe("all of it");
  });

  test("to have an answer sealed to a key of its own: it is the same answer, without the value", async () => {
    const { thief, victim, platform } = takeover;
    const { publicKey, privateKey } = await makeSealingKeyPair();
    platform.destination.answer = ({ headers }, response) => response.end(headers.authorization);
    const sealResultTo = Buffer.from(publicKey).toString("base64url");
    const use = await thief.use(victim, {}, { sealResultTo });
    const outcome = await thief.send("integration", use);
    if (outcome.state !== "sealed") throw new Error(JSON.stringify(outcome));
    const opened = await openResult(privateKey, { org: victim.org, job: use.job }, outcome);
    expect(formsIn(opened, forms)).toEqual([]);
    expect(textOf(JSON.parse(Buffer.from(opened).toString()))).toBe("[removed]");
  });

  test("to use a replaced version under the policy that it was sealed for, by a copy kept from before", async () => {
    const { thief, older, platform, values } = takeover;
    await thief.send("integration", await thief.use(older, { method: "DELETE", path: "/v0/all" }));
    expect(platform.destination.effects).toMatchObject([
      { method: "DELETE", url: "/v0/all", headers: { authorization: `Bearer ${values.older}` } },
    ]);
  });

  test("to send a job again, or later: it has the same idempotency key each time", async () => {
    const { thief, victim, platform } = takeover;
    const use = await thief.use(victim);
    await thief.send("integration", use);
    await thief.send("integration", { ...use, attempt: 7, notAfter: use.notAfter + 3600 });
    expect(platform.destination.count(use.job)).toBe(2);
    expect(platform.destination.effects.map(({ headers }) => headers["idempotency-key"])).toEqual([
      use.job,
      use.job,
    ]);
  });

  test("to have its own text signed as a webhook, for the URL that the secret was sealed for", async () => {
    const { thief, signing, platform, values } = takeover;
    const outcome = await thief.send("webhook", await thief.delivery(signing));
    expect(outcome).toMatchObject({ state: "answered", status: 200 });
    expect(platform.destination.effects).toMatchObject([{ method: "POST", url: "/hook" }]);
    const sent = JSON.stringify([platform.destination.effects, outcome]);
    expect(formsIn(sent, formsOf(values.signing.replace("whsec_", "")))).toEqual([]);
  });

  test("to send values of its own through a worker, to a destination that workers may reach", async () => {
    const { thief, victim, platform, elsewhere } = takeover;
    const mine = { ...victim, credential: "mine", policy: { ...victim.policy, origin: elsewhere } };
    const envelope = await thief.seal("integration", thief.context(mine), "a value of the thief's");
    await thief.send("integration", await thief.use({ ...mine, material: { envelope } }));
    expect(platform.destinations[1]?.effects).toMatchObject([
      { headers: { authorization: "Bearer a value of the thief's" } },
    ]);
  });

  test("to put its own value in a stored one's place: later uses go to the thief's account at the same destination", async () => {
    const { thief, victim, platform } = takeover;
    const envelope = await thief.seal("integration", thief.context(victim), "the thief's own account");
    await thief.send("integration", await thief.use({ ...victim, material: { envelope } }));
    expect(platform.destination.effects[0]?.headers.authorization).toBe("Bearer the thief's own account");
  });

  test("to seal a value anew for what it was sealed for: the thief cannot open the new envelope either", async () => {
    const { thief, victim, platform, values } = takeover;
    const { request: _, ...use } = await thief.use(victim);
    const outcome = await thief.send("integration", { ...use, type: "rewrap" });
    if (outcome.state !== "rewrapped") throw new Error(JSON.stringify(outcome));
    expect(formsIn(Buffer.from(outcome.envelope, "base64"), forms)).toEqual([]);
    await thief.send("integration", await thief.use({ ...victim, material: { envelope: outcome.envelope } }));
    expect(platform.destination.effects[0]?.headers.authorization).toBe(`Bearer ${values.victim}`);
  });

  test("to hand out a public key of its own: it reads what clients seal from then on, and nothing from before", async () => {
    const { thief, victim, byClient, platform } = takeover;
    const { publicKey, privateKey } = await makeSealingKeyPair();
    const key = "kthiefthiefthief";
    const fresh = { ...victim, credential: "fresh", version: 1 };
    const context = { ...thief.context(fresh), key };
    const sealed = await sealValue(publicKey, context, new TextEncoder().encode("a new value"));
    const read = await openValue(privateKey, context, sealed);
    expect(Buffer.from(read).toString()).toBe("a new value");
    // The worker tells no difference: who can make data keys can wrap any private key.
    const wrapped = await thief.seal(
      "integration",
      sealingKeyContext(fresh.org, key, "integration"),
      privateKey,
    );
    const material = { sealed, privateKey: wrapped };
    await thief.send("integration", await thief.use({ ...fresh, material }));
    expect(platform.destination.effects[0]?.headers.authorization).toBe("Bearer a new value");
    const earlier = { ...thief.context(byClient), key: byClient.material.sealed.key };
    await expect(openValue(privateKey, earlier, byClient.material.sealed)).rejects.toThrow("another");
  });

  test("to have a worker make a sealing key: its private half comes back wrapped", async () => {
    const { thief, foreign } = takeover;
    const outcome = await thief.send("integration", {
      ...{ type: "make-sealing-key", key: "kthiefthiefthief", job: newJobId(), org: foreign.org },
      ...{ attempt: 1, notAfter: Math.floor(Date.now() / 1000) + 60 },
    });
    if (outcome.state !== "key-made") throw new Error(JSON.stringify(outcome));
    // PKCS #8 of a P-256 key begins so.
    expect(Buffer.from(outcome.privateKey, "base64").includes(Buffer.from("308187020100", "hex"))).toBe(
      false,
    );
  });
});
