import { describe, expect, test } from "vitest";
import { authorizePath, MethodNotAllowed } from "../../services/gateway/authorize-path.ts";
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
    ["POST", "/v1/transit/keys/orders/config"],
    ["GET", "/v1/transit/keys/orders"],
    ["POST", "/v1/transit/keys/orders"],
    ["GET", "/v1/transit/keys?list=true"],
    ["GET", "/v1/transit/keys/?list=true"],
    ["POST", "/v1/transit/datakey/wrapped/orders"],
    ["POST", "/v1/transit/hmac/orders/sha2-256"],
    ["POST", "/v1/transit/sign/orders"],
    ["POST", "/v1/transit/verify/orders/sha2-256"],
    ["POST", "/v1/transit/random"],
    ["POST", "/v1/transit/random/32"],
    ["POST", "/v1/transit/random/platform/32"],
    ["GET", "/v1/secret/config"],
    ["PUT", "/v1/secret/config"],
    ["GET", "/v1/sys/init"],
    ["GET", "/v1/sys/mounts"],
    ["GET", "/v1/sys/internal/ui/resultant-acl"],
  ])("%s %s, as it came", (method, target) => {
    expect(outcome(method, target)).toBe(target);
  });
});

describe("not listed: 403, since 404 would say that there is no such thing", () => {
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
    "/v1/transit/keys/orders/trim",
    "/v1/transit/sign/orders/sha2-256/x",
    "/v1/transit/random/platform/32/x",
    "/v1/transit/datakey/wrapped",
    "/v1/transit/cache-config",
    "/v1/secret/config/x",
    "/v1/sys/mounts/secret",
    "/v1/sys/mounts/secret/tune",
    "/v1/sys/internal/ui/resultant-acl/x",
    "/v1/transit/keys/orders/x/rotate",
    "/v1/transit/export/encryption-key/orders",
    "/v1/transit/datakey/plaintext/orders",
    "/v1/transit/backup/orders",
    "/v1/identity/entity",
    "/v1/sys",
    "/v1/sys/policies/acl",
    "/v1/sys/health/x",
    "/v1/sys/seal",
    "/v1/sys/unseal",
    "/v1/sys/storage/raft/snapshot",
    "/v1/sys/internal/ui/namespaces",
    "/v1/sys/internal/specs/openapi",
    "/v1/sys/wrapping/unwrap",
    "/v1/sys/metrics",
    "/v1/__proto__",
  ])("%s", (target) => {
    expect(outcome("GET", target)).toBe("not_served");
  });
});

test("a verb that is not listed is refused with those that are", () => {
  expect(outcome("GET", "/v1/secret/destroy/a")).toBe("method_not_allowed: POST, PUT");
  expect(outcome("OPTIONS", "/v1/secret/metadata/a")).toBe(
    "method_not_allowed: GET, POST, PUT, PATCH, DELETE, LIST",
  );
  const path = canonicalPath("/v1/secret/destroy/a");
  expect(() => authorizePath(findRoute(path.segments), "GET", path)).toThrow(MethodNotAllowed);
  expect(() => authorizePath(findRoute(path.segments), "GET", path)).toThrow(
    expect.objectContaining({ name: "MethodNotAllowed" }),
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

describe("a query that Vault takes: what counts goes on in one form, the rest stays here", () => {
  test.each([
    ["/v1/secret/data/a?", "/v1/secret/data/a"],
    ["/v1/secret/data/a?&", "/v1/secret/data/a"],
    ["/v1/secret/data/a?version", "/v1/secret/data/a"],
    ["/v1/secret/data/a?version=", "/v1/secret/data/a"],
    ["/v1/secret/data/a?version=%31", "/v1/secret/data/a?version=1"],
    ["/v1/secret/data/a?%76ersion=1&", "/v1/secret/data/a?version=1"],
    ["/v1/secret/data/a?list=false&version=2", "/v1/secret/data/a?version=2"],
    ["/v1/secret/data/a?list", "/v1/secret/data/a"],
    ["/v1/secret/data/a?help=", "/v1/secret/data/a"],
    ["/v1/secret/data/a?helpx&listx&xread_snapshot_id=1&read_snapshot_ids=1", "/v1/secret/data/a"],
    ["/v1/secret/data/a?x=1&version=3&y=%zz".replace("%zz", "z"), "/v1/secret/data/a?version=3"],
    ["/v1/secret/data/a?VERSION=1&toString=1&__proto__=1", "/v1/secret/data/a"],
    ["/v1/secret/subkeys/a?depth=2&x&version=1", "/v1/secret/subkeys/a?depth=2&version=1"],
    ["/v1/secret/metadata/a?version=1", "/v1/secret/metadata/a"],
    ["/v1/secret/metadata/a?list=0", "/v1/secret/metadata/a"],
    ["/v1/secret/metadata/a?LIST=true", "/v1/secret/metadata/a"],
    ["/v1/secret/metadata/a?list=true&after=b&limit=1", "/v1/secret/metadata/a?list=true"],
    ["/v1/secret/metadata//?list=1", "/v1/secret/metadata/?list=true"],
    ["/v1/secret/metadata/a%2Fb?list=T", "/v1/secret/metadata/a/b?list=true"],
    ["/v1/sys/internal/ui/mounts?x=1", "/v1/sys/internal/ui/mounts"],
    ["/v1/sys/health?token=abc&standbyok", "/v1/sys/health"],
    ["/v1/sys/health?standbyok=false", "/v1/sys/health?standbyok=false"],
  ])("%s", (target, forwarded) => {
    expect(outcome("GET", target)).toBe(forwarded);
  });

  test("each way that Go writes a truth", () => {
    for (const value of ["1", "t", "T", "TRUE", "true", "True"]) {
      expect(outcome("GET", `/v1/secret/metadata/a?list=${value}`)).toBe("/v1/secret/metadata/a?list=true");
    }
    for (const value of ["0", "f", "F", "FALSE", "false", "False", ""]) {
      expect(outcome("GET", `/v1/secret/metadata/a?list=${value}`)).toBe("/v1/secret/metadata/a");
    }
  });

  test("of a write, none", () => {
    for (const method of ["POST", "PUT", "DELETE"]) {
      expect(outcome(method, "/v1/secret/data/a?version=1&list=true&x=1")).toBe("/v1/secret/data/a");
    }
  });
});

describe("a query is refused", () => {
  test.each([
    "/v1/secret/data/a?version=-1",
    "/v1/secret/data/a?version=1e9",
    "/v1/secret/data/a?version=0x1",
    "/v1/secret/data/a?version=+1",
    "/v1/secret/data/a?version=1=1",
    "/v1/secret/data/a?version=1234567890",
    "/v1/secret/data/a?version=1%0a",
    "/v1/secret/data/a?version=1&version=2",
    "/v1/secret/data/a?version=1&%76ersion=1",
    "/v1/secret/data/a?version=&version=1",
    "/v1/secret/data/a?version=1;list=true",
    "/v1/secret/data/a?x=1;version=1",
    "/v1/secret/data/a?version=1?version=2",
    "/v1/secret/data/a?version=%zz",
    "/v1/secret/data/a?x=%ff",
    "/v1/secret/data/a?list=true",
    "/v1/secret/data/a?list=yes",
    "/v1/secret/data/a?read_snapshot_id=1",
    "/v1/secret/metadata/a?list=tRue",
    "/v1/secret/metadata/a?list=11",
    "/v1/secret/metadata/a?list=true&list=true",
    "/v1/secret/metadata/a?list=false&list=true",
    "/v1/sys/health?standbyok=true%0a",
    "/v1/sys/health?standbyok=abcdef",
  ])("%s", (target) => {
    expect(outcome("GET", target)).toBe("invalid_request");
  });

  test("of a number, more than nine digits", () => {
    expect(outcome("GET", "/v1/secret/data/a?version=123456789")).toBe("/v1/secret/data/a?version=123456789");
    expect(outcome("POST", "/v1/secret/data/a?recover_snapshot_id=1")).toBe("invalid_request");
  });
});

test("help is not served, and it says so, whatever the verb", () => {
  expect(outcome("GET", "/v1/secret/data/a?help=1")).toBe("not_served");
  expect(outcome("POST", "/v1/secret/data/a?%68elp=x")).toBe("not_served");
});

test.each([
  ["GET", "/v1/secret/destroy/a", "This path is not served by that method."],
  ["GET", "/v1/secret/data/a/", "The path may not end in a slash here."],
  ["GET", "/v1/secret/data/a?help=1", "Help is not served here. docs/compatibility.md lists what is."],
  ["GET", "/v1/secret/data/a?read_snapshot_id=1", "read_snapshot_id is not served here"],
  ["GET", "/v1/secret/data/a?version=1&version=2", "it has version twice"],
  ["GET", "/v1/secret/data/a?version=x", "the value of version is malformed"],
  ["GET", "/v1/secret/metadata/a?list=yes", "the value of list is malformed"],
  ["GET", "/v1/secret/data/a?list=true", "this path has no list"],
  ["GET", "/v1/secret/data/a?x=1;y=2", "it has a semicolon"],
  ["GET", "/v1/secret/data/a?x=%zz", "it has an encoding that is broken"],
])("%s %s is told why", (method, target, words) => {
  const path = canonicalPath(target);
  const message = words.endsWith(".") ? words : `The query is refused: ${words}.`;
  expect(() => authorizePath(findRoute(path.segments), method, path)).toThrow(
    expect.objectContaining({ message }),
  );
});

test("what is not served says where the list is; a token without a role, what to do instead", () => {
  const message = (target: string) => {
    try {
      authorizePath(undefined, "POST", canonicalPath(target));
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(message("/v1/sys/policies/acl/x")).toMatch(/not served here. docs\/compatibility.md/);
  for (const end of ["", "-orphan", "/reader"]) {
    expect(message(`/v1/auth/token/create${end}`)).toMatch(/JWT is the token.*-role=machine/);
  }
  for (const path of ["/v1/auth/token/creates", "/v1/x/v1/auth/token/create"]) {
    expect(message(path)).toContain("compatibility.md");
  }
});
