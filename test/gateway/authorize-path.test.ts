import { describe, expect, test } from "vitest";
import { authorizePath } from "../../services/gateway/authorize-path.ts";
import { canonicalPath } from "../../services/gateway/canonical-path.ts";
import { findRoute } from "../../services/gateway/routes.ts";

/** What comes of a request: what is forwarded, or the error's code, with the verbs that are allowed. */
function outcome(method: string, target: string): string {
  const path = canonicalPath(target);
  try {
    return authorizePath(findRoute(path.segments), method, path).path;
  } catch (error) {
    const { code, allow } = error as { code: string; allow?: string };
    return allow ? `${code}: ${allow}` : code;
  }
}

describe("served", () => {
  test.each([
    ["GET", "/v1/secret/data/a"],
    ["GET", "/v1/secret/data/a/b/c?version=3"],
    ["POST", "/v1/secret/data/a"],
    ["PUT", "/v1/secret/data/a"],
    ["PATCH", "/v1/secret/data/a"],
    ["DELETE", "/v1/secret/data/a"],
    ["POST", "/v1/secret/delete/a"],
    ["PUT", "/v1/secret/undelete/a"],
    ["POST", "/v1/secret/destroy/a"],
    ["GET", "/v1/secret/metadata/a"],
    ["GET", "/v1/secret/metadata/a?list=true"],
    ["GET", "/v1/secret/metadata/a/?list=true"],
    ["GET", "/v1/secret/metadata/?list=true"],
    ["GET", "/v1/secret/metadata?list=true"],
    ["POST", "/v1/secret/metadata/a"],
    ["PATCH", "/v1/secret/metadata/a"],
    ["DELETE", "/v1/secret/metadata/a"],
    ["GET", "/v1/secret/subkeys/a?version=1&depth=2"],
    ["GET", "/v1/sys/internal/ui/mounts"],
    ["GET", "/v1/sys/internal/ui/mounts/secret/a"],
    ["GET", "/v1/sys/internal/ui/mounts/secret/"],
    ["GET", "/v1/auth/token/lookup-self"],
    ["HEAD", "/v1/sys/health?standbyok=true&sealedcode=200"],
    ["GET", "/v1/sys/seal-status"],
    ["GET", "/v1/sys/leader"],
    ["PUT", "/v1/auth/jwt/login"],
    ["PUT", "/v1/auth/token/renew-self"],
    ["POST", "/v1/sys/capabilities-self"],
    ["POST", "/v1/transit/encrypt/orders"],
    ["PUT", "/v1/transit/decrypt/orders"],
    ["POST", "/v1/transit/rewrap/orders"],
    ["POST", "/v1/transit/keys/orders/rotate"],
  ])("%s %s, as it came", (method, target) => {
    expect(outcome(method, target)).toBe(target);
  });
});

describe("not listed: 404", () => {
  test.each([
    "/",
    "/v1",
    "/v1/",
    "/v2/secret/data/a",
    "/ui/vault",
    "/v1/secret",
    "/v1/secret/data",
    "/v1/secret/data/",
    "/v1/secret/metadata",
    "/v1/secret/metadata/",
    "/v1/secret/config",
    "/v1/secret/DATA/a",
    "/v1/secret/data2/a",
    "/v1/other/data/a",
    "/v1/cubbyhole/a",
    "/v1/auth/token/create",
    "/v1/auth/token/lookup",
    "/v1/auth/token/lookup-self/x",
    "/v1/transit/encrypt",
    "/v1/transit/encrypt/a/b",
    "/v1/transit/keys",
    "/v1/transit/keys/orders",
    "/v1/transit/keys/orders/config",
    "/v1/transit/keys/orders/x/rotate",
    "/v1/transit/keys/rotate",
    "/v1/transit/export/encryption-key/orders",
    "/v1/transit/datakey/plaintext/orders",
    "/v1/transit/backup/orders",
    "/v1/identity/entity",
    "/v1/sys",
    "/v1/sys/mounts",
    "/v1/sys/policies/acl",
    "/v1/sys/health/x",
    "/v1/sys/seal",
    "/v1/sys/unseal",
    "/v1/sys/init",
    "/v1/sys/storage/raft/snapshot",
    "/v1/sys/internal/ui/namespaces",
    "/v1/sys/internal/specs/openapi",
    "/v1/sys/wrapping/unwrap",
    "/v1/sys/metrics",
    "/v1/__proto__",
  ])("%s", (target) => {
    expect(outcome("GET", target)).toBe("not_found");
  });
});

test("a verb that is not listed is refused with those that are", () => {
  expect(outcome("GET", "/v1/secret/destroy/a")).toBe("method_not_allowed: POST, PUT");
  expect(outcome("OPTIONS", "/v1/secret/metadata/a")).toBe(
    "method_not_allowed: GET, POST, PUT, PATCH, DELETE, LIST",
  );
  expect(outcome("PROPFIND", "/v1/sys/seal-status")).toBe("method_not_allowed: GET");
  for (const method of ["HEAD", "TRACE", "CONNECT", "LIST", "get", "constructor", "__proto__", ""]) {
    expect(outcome(method, "/v1/secret/data/a")).toMatch(/^method_not_allowed: GET/);
  }
});

test("a slash at the end only where folders are listed", () => {
  const targets = [
    ["GET", "/v1/secret/data/a/"],
    ["GET", "/v1/secret/metadata/a/"],
    ["POST", "/v1/secret/metadata/a/"],
    ["DELETE", "/v1/secret/metadata/a/"],
    ["GET", "/v1/sys/health/"],
    ["POST", "/v1/secret/destroy/a/"],
  ] as const;
  for (const [method, target] of targets) expect(outcome(method, target)).toBe("invalid_path");
});

describe("a query is refused", () => {
  test.each([
    ["GET", "/v1/secret/data/a?"],
    ["GET", "/v1/secret/data/a?version"],
    ["GET", "/v1/secret/data/a?version="],
    ["GET", "/v1/secret/data/a?version=-1"],
    ["GET", "/v1/secret/data/a?version=1e9"],
    ["GET", "/v1/secret/data/a?version=%31"],
    ["GET", "/v1/secret/data/a?version=1=1"],
    ["GET", "/v1/secret/data/a?version=12345678901"],
    ["GET", "/v1/secret/data/a?version=1&version=2"],
    ["GET", "/v1/secret/data/a?version=1&"],
    ["GET", "/v1/secret/data/a?version=1;list=true"],
    ["GET", "/v1/secret/data/a?version=1?version=2"],
    ["GET", "/v1/secret/data/a?list=true"],
    ["GET", "/v1/secret/data/a?help=1"],
    ["GET", "/v1/secret/data/a?__proto__=1"],
    ["GET", "/v1/secret/data/a?toString=1"],
    ["GET", "/v1/secret/metadata/a?list=false"],
    ["GET", "/v1/secret/metadata/a?list=1"],
    ["GET", "/v1/secret/metadata/a?LIST=true"],
    ["POST", "/v1/secret/data/a?version=1"],
    ["DELETE", "/v1/secret/data/a?version=1"],
    ["GET", "/v1/sys/internal/ui/mounts?x=1"],
    ["GET", "/v1/sys/health?token=abc"],
    ["GET", "/v1/sys/health?standbyok=true%0a"],
  ])("%s %s", (method, target) => {
    expect(outcome(method, target)).toBe("invalid_request");
  });
});
