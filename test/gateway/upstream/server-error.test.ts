import { expect, test } from "vitest";
import { isAnswer, serverError } from "../../../services/gateway/upstream/server-error.ts";

test("which statuses count as an answer", () => {
  for (const status of [200, 204, 400, 403, 404, 405, 412, 429, 472]) expect(isAnswer(status)).toBe(true);
  for (const status of [301, 302, 307, 308, 500, 501, 502, 503]) expect(isAnswer(status)).toBe(false);
});

test.each<[number, string, string]>([
  [
    500,
    "put failed due to value being too large, max value size for key logical/x is 1048576",
    "body_too_large",
  ],
  [500, "resource does not exist", "invalid_request"],
  [
    500,
    "json: cannot unmarshal number -1 into Go struct field KeyMetadata.max_versions of type uint32",
    "invalid_request",
  ],
  [500, "failed to persist entry: disk full", "org_vault_unavailable"],
  [500, "", "org_vault_unavailable"],
  [502, "resource does not exist", "org_vault_unavailable"],
  [503, "Vault is sealed", "org_vault_sealed"],
  [307, "", "org_vault_unavailable"],
])("%i %s: %s", (status, text, code) => {
  const error = serverError(status, `{"errors":["1 error occurred:\\n\\t* ${text}\\n\\n"]}`);
  expect(error.code).toBe(code);
  expect(error.message).not.toMatch(/logical|resource|Go struct|disk/);
});
