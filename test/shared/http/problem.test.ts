import Fastify from "fastify";
import { Value } from "typebox/value";
import { expect, test } from "vitest";
import { ERROR_CODES, StrongroomError } from "../../../services/shared/errors.ts";
import { Problem, sendProblem, toProblem } from "../../../services/shared/http/problem.ts";
import { VaultError, VaultUnreachableError } from "../../../services/shared/vault/client.ts";

test.each(ERROR_CODES)("%s keeps its code, status and detail", (code) => {
  const error = new StrongroomError(code, "What was wrong.", { cause: new Error("hvs.secret") });
  const problem = toProblem(error, "r1");
  expect(Value.Check(Problem, problem)).toBe(true);
  expect(problem).toMatchObject({ code, status: error.status, detail: "What was wrong.", requestId: "r1" });
  expect(JSON.stringify(problem)).not.toContain("hvs.secret");
});

test.each([
  new Error("hvs.secret"),
  new TypeError("hvs.secret"),
  "hvs.secret",
  undefined,
  null,
])("%s is internal, and stays so", (error) => {
  const problem = toProblem(error, "r1");
  expect(problem).toMatchObject({ code: "internal", status: 500, retry: true });
  expect(JSON.stringify(problem)).not.toContain("hvs.secret");
});

test.each([
  new VaultUnreachableError("read registry/x", "ECONNREFUSED"),
  new VaultError("read registry/x", 503, []),
])("%s: the internal Vault is unavailable", (error) => {
  expect(toProblem(error, "r1")).toMatchObject({
    code: "internal_vault_unavailable",
    status: 503,
    retry: true,
  });
  expect(toProblem(error, "r1").detail).not.toContain("registry");
});

test("a refusal by the internal Vault is ours to mend", () => {
  expect(toProblem(new VaultError("read x", 403, ["permission denied"]), "r1").code).toBe("internal");
});

test("503 says when to come again, 401 how to ask", async () => {
  const app = Fastify();
  app.setErrorHandler(sendProblem);
  app.get("/503", () => Promise.reject(new StrongroomError("directory_unavailable", "Not yet.")));
  app.get("/401", () => Promise.reject(new StrongroomError("unauthenticated", "Who are you?")));
  const [unavailable, unauthenticated] = [await app.inject("/503"), await app.inject("/401")];
  expect(unavailable.headers["retry-after"]).toBe("1");
  expect(unauthenticated.headers["www-authenticate"]).toContain("Bearer");
  expect(unavailable.headers["content-type"]).toBe("application/problem+json");
  await app.close();
});

test("a value that matches no alternative: what is wrong in it, not how the alternatives differ", async () => {
  const app = Fastify({ ajv: { customOptions: { allErrors: true } } });
  app.setErrorHandler(sendProblem);
  const number = { type: "object", required: ["n"], properties: { n: { type: "number", minimum: 60 } } };
  const text = { type: "object", required: ["t"], properties: { t: { type: "string" } } };
  app.post("/", { schema: { body: { anyOf: [number, text] } } }, async () => "");
  const errors = async (payload: object) =>
    (await app.inject({ method: "POST", url: "/", payload })).json().errors;
  expect(await errors({ n: 59 })).toEqual([{ pointer: "/body/n", message: "must be >= 60" }]);
  expect(await errors({})).toHaveLength(3);
  await app.close();
});
