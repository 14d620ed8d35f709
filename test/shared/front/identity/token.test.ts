import type { IncomingMessage } from "node:http";
import { describe, expect, test } from "vitest";
import { TokenRefused } from "../../../../services/shared/front/identity/refused.ts";
import { hasToken, requestToken } from "../../../../services/shared/front/identity/token.ts";

const requestWith = (...rawHeaders: string[]) => ({ rawHeaders }) as IncomingMessage;

function reason(...rawHeaders: string[]): string {
  try {
    return `accepted: ${requestToken(requestWith(...rawHeaders))}`;
  } catch (error) {
    expect(error).toBeInstanceOf(TokenRefused);
    return (error as TokenRefused).reason;
  }
}

describe("the token of a request", () => {
  test.each<[string, string[], string]>([
    ["Authorization", ["Authorization", "Bearer a.b.c"], "accepted: a.b.c"],
    ["any case", ["AUTHORIZATION", "bEARER a.b.c"], "accepted: a.b.c"],
    ["several spaces", ["authorization", "Bearer   a.b.c"], "accepted: a.b.c"],
    ["X-Vault-Token", ["X-Vault-Token", "a.b.c"], "accepted: a.b.c"],
    ["both, alike", ["X-Vault-Token", "t", "Authorization", "Bearer t"], "accepted: t"],
    [
      "behind other headers, as long and not",
      ["Host", "h", "X-Other-Token", "o", "X-Vault-Token", "t"],
      "accepted: t",
    ],
    ["a value that is a header's name", ["X-Other-Token", "X-Vault-Token", "Host", "h"], "token_missing"],
    ["nothing", [], "token_missing"],
    ["an empty X-Vault-Token", ["X-Vault-Token", ""], "token_missing"],
    ["an empty Authorization", ["Authorization", ""], "authorization_scheme"],
    [
      "an empty Authorization beside a token",
      ["Authorization", "", "X-Vault-Token", "t"],
      "authorization_scheme",
    ],
    ["another scheme", ["Authorization", "Basic a.b.c"], "authorization_scheme"],
    ["another scheme before it", ["Authorization", "Basic x Bearer a.b.c"], "authorization_scheme"],
    ["a letter before it", ["Authorization", "xBearer a.b.c"], "authorization_scheme"],
    ["a space before it", ["Authorization", " Bearer a.b.c"], "authorization_scheme"],
    ["something behind it", ["Authorization", "Bearer a.b.c x"], "authorization_scheme"],
    ["a space behind it", ["Authorization", "Bearer a.b.c "], "authorization_scheme"],
    ["no space between", ["Authorization", "Bearera.b.c"], "authorization_scheme"],
    ["a tab between", ["Authorization", "Bearer\ta.b.c"], "authorization_scheme"],
    ["no token", ["Authorization", "Bearer "], "authorization_scheme"],
    [
      "Authorization twice",
      ["Authorization", "Bearer t", "authorization", "Bearer t"],
      "token_header_repeated",
    ],
    ["X-Vault-Token twice", ["X-Vault-Token", "t", "x-vault-token", "t"], "token_header_repeated"],
    ["an empty one first", ["X-Vault-Token", "", "X-Vault-Token", "t"], "token_header_repeated"],
    ["two tokens", ["Authorization", "Bearer t", "X-Vault-Token", "u"], "token_headers_differ"],
    ["an empty second token", ["Authorization", "Bearer t", "X-Vault-Token", ""], "token_headers_differ"],
  ])("%s", (_name, headers, expected) => {
    expect(reason(...headers)).toBe(expected);
  });
});

test("whether a request carries either header, even an empty one", () => {
  const has = (headers: object) => hasToken({ headers } as IncomingMessage);
  expect(has({ authorization: "" })).toBe(true);
  expect(has({ "x-vault-token": "" })).toBe(true);
  expect(has({ host: "h" })).toBe(false);
});
