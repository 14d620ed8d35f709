import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Grant } from "../../../services/shared/broker/grant.ts";
import { type AskedToken, type Narrowed, narrow } from "../../../services/shared/broker/narrow.ts";

const who: Grant["who"] = { level: "writer" };
const endpoint = "https://login.example.test/token";
const scope = fc.constantFrom("read", "write", "admin", "openid", "a:b", "constructor", "__proto__");
const scopes = fc.uniqueArray(scope, { maxLength: 6 });
const access = fc.constantFrom("read" as const, "write" as const, "admin" as const);
const permissions = fc.dictionary(fc.constantFrom("contents", "issues", "actions", "constructor"), access, {
  minKeys: 1,
});
const repositories = fc.uniqueArray(fc.constantFrom("site", "api", "docs"), { minLength: 1 });
const seconds = fc.integer({ min: 60, max: 43_200 });
const given = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const ORDER = ["read", "write", "admin"];

const asked: fc.Arbitrary<AskedToken> = fc
  .record({
    scopes: given(fc.array(scope, { minLength: 1, maxLength: 6 })),
    permissions: given(permissions),
    repositories: given(repositories),
    seconds: given(seconds),
  })
  .map((each) => Object.fromEntries(Object.entries(each).filter(([, value]) => value !== undefined)));

const scoped: fc.Arbitrary<Grant> = fc
  .record({ scopes, lifetimeSeconds: seconds, type: fc.constantFrom("client_credentials", "refresh_token") })
  .map((each) => ({ ...each, endpoint, clientId: "c", clientAuth: "post", who }) as unknown as Grant);
const github: fc.Arbitrary<Extract<Grant, { type: "github_app" }>> = fc
  .record({ permissions, repositories: given(repositories), lifetimeSeconds: seconds })
  .map(({ repositories: list, ...each }) => ({
    ...{ ...each, type: "github_app" as const, endpoint, issuer: "1", who },
    ...(list && { repositories: list }),
  }));

/** Whether what came of it is within the grant. */
function isWithin(grant: Grant, narrowed: Narrowed): boolean {
  if (narrowed.seconds > grant.lifetimeSeconds) return false;
  if ("scopes" in grant) return narrowed.scopes.every((each) => grant.scopes.includes(each));
  if (grant.type !== "github_app") return true;
  const list = grant.repositories;
  return (
    Object.entries(narrowed.permissions ?? {}).length > 0 &&
    Object.entries(narrowed.permissions ?? {}).every(
      ([name, level]) =>
        Object.hasOwn(grant.permissions, name) &&
        ORDER.indexOf(level) <= ORDER.indexOf(grant.permissions[name] ?? ""),
    ) &&
    (!list || (narrowed.repositories?.every((each) => list.includes(each)) ?? false))
  );
}

describe("a token is never for more than its grant allows", () => {
  test("whatever is asked for, the answer is within the grant and what was asked, or names the part", () => {
    fc.assert(
      fc.property(fc.oneof(scoped, github), asked, (grant, wish) => {
        const narrowed = narrow(grant, wish);
        if ("denied" in narrowed) return wish[narrowed.denied] !== undefined;
        return (
          isWithin(grant, narrowed) &&
          narrowed.seconds <= (wish.seconds ?? 43_200) &&
          (!wish.scopes || narrowed.scopes.every((each) => wish.scopes?.includes(each))) &&
          (!wish.repositories ||
            (narrowed.repositories?.every((each) => wish.repositories?.includes(each)) ?? false)) &&
          narrowed.names.length <= 64
        );
      }),
      { numRuns: 5_000 },
    );
  });

  test("what the grant itself allows is never refused", () => {
    fc.assert(
      fc.property(fc.oneof(scoped, github), seconds, (grant, within) => {
        const all =
          "scopes" in grant
            ? grant.scopes.length > 0 && { scopes: grant.scopes }
            : grant.type === "github_app" && { permissions: grant.permissions };
        const narrowed = narrow(grant, { ...all, seconds: within });
        return !("denied" in narrowed) && isWithin(grant, narrowed);
      }),
    );
  });

  test("the order and repetitions of scopes make no other token", () => {
    const grant = { type: "client_credentials", endpoint, clientId: "c", clientAuth: "post" } as const;
    const all = { ...grant, scopes: ["a", "b"], who, lifetimeSeconds: 600 };
    expect(narrow(all, { scopes: ["b", "a", "b"] })).toEqual(narrow(all, {}));
  });
});

describe("session policies of AWS", () => {
  const allow = { Effect: "Allow", Action: "s3:*", Resource: "*" };
  const deny = { Effect: "Deny", Action: "s3:DeleteObject", Resource: "*" };
  const document = (...Statement: object[]) => JSON.stringify({ Version: "2012-10-17", Statement });
  const grant = (sessionPolicy?: string): Grant => ({
    ...{ type: "sts_assume_role", region: "eu-central-1", roleArn: "arn:aws:iam::123456789012:role/a" },
    ...{ who, lifetimeSeconds: 3600, ...(sessionPolicy !== undefined && { sessionPolicy }) },
  });
  const combined = (sealed: string | undefined, theirs: string | undefined) => {
    const narrowed = narrow(grant(sealed), theirs === undefined ? {} : { sessionPolicy: theirs });
    return "denied" in narrowed ? narrowed.denied : narrowed.sessionPolicy;
  };

  test("the sealed one stands alone; a caller's stands alone if there is no sealed one", () => {
    expect(combined(undefined, undefined)).toBeUndefined();
    expect(combined(document(allow), undefined)).toBe(document(allow));
    expect(combined(undefined, document(allow))).toBe(document(allow));
  });

  test("beside a sealed one, a caller may add statements that deny, and none that allow", () => {
    expect(combined(document(allow), document(deny))).toBe(document(allow, deny));
    expect(combined(document(deny), document(allow))).toBe("sessionPolicy");
    expect(combined(document(deny), document(deny, allow))).toBe("sessionPolicy");
    const single = JSON.stringify({ Version: "2012-10-17", Statement: deny });
    expect(combined(document(allow), single)).toBe(document(allow, deny));
  });

  for (const [name, text] of Object.entries({
    "an effect in another case": document({ ...deny, Effect: "deny" }),
    "no effect": document({ Action: "*", Resource: "*" }),
    "an effect that is a list": document({ ...deny, Effect: ["Deny"] }),
    "an effect twice, the last of which allows":
      '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}',
    "another version": JSON.stringify({ Version: "2008-10-17", Statement: [deny] }),
    "no version": JSON.stringify({ Statement: [deny] }),
    "no statement": document(),
    "a statement that is none": JSON.stringify({ Version: "2012-10-17", Statement: ["Deny"] }),
    "no JSON": "{",
    "a list": "[]",
    null: "null",
    "too much together": document({ ...deny, Resource: "x".repeat(2_000) }),
  })) {
    test(`beside a sealed one, refused: ${name}`, () => {
      expect(combined(document(allow), text)).toBe("sessionPolicy");
    });
  }

  test("what is sent is what was checked: an effect twice, the last of which denies", () => {
    const twice =
      '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Effect":"Deny","Action":"s3:DeleteObject","Resource":"*"}]}';
    expect(combined(document(allow), twice)).toBe(document(allow, deny));
  });

  test("parts of another grant are refused, and so is a life that AWS does not allow", () => {
    expect(narrow(grant(), { scopes: ["a"] })).toMatchObject({ denied: "scopes" });
    expect(narrow(grant(), { seconds: 899 })).toMatchObject({ denied: "seconds" });
  });
});
