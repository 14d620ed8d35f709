import { describe, expect, test } from "vitest";
import {
  isAllowedRedirect,
  isOwnRedirect,
  isRedirect,
  isRedirectPattern,
} from "../../../services/shared/broker/redirect.ts";

test("a redirect is https with a host name, or http at a loopback address with a port", () => {
  const good = [
    "https://console.acme.example/callback/calendar",
    "https://console.acme.example:8443/callback",
    "https://console.acme.example/",
    "http://127.0.0.1:8400/callback/calendar",
    "http://[::1]:8400/callback",
  ];
  expect(good.filter((each) => !isRedirect(each))).toEqual([]);
});

test("an allowed redirect may leave the port open at a loopback address, and name the connection", () => {
  const good = [
    "http://127.0.0.1/callback/{connection}",
    "https://a.example/x/{connection}",
    "http://[::1]/x",
  ];
  expect(good.filter((each) => !isRedirectPattern(each))).toEqual([]);
  const bad = [
    "https://a.example/{connection}/x",
    "https://a.example/x{connection}",
    "https://{connection}.a.example/x",
    "https://a.example/*",
    "http://localhost/callback",
    "http://a.example/callback",
    "",
  ];
  expect(bad.filter(isRedirectPattern)).toEqual([]);
});

describe("a connection's redirect is compared letter by letter", () => {
  const allowed = [
    "https://a.example/back/{connection}",
    "http://127.0.0.1/callback/{connection}",
    "https://b.example/cb",
  ];
  test.each([
    ["https://a.example/back/mail", true],
    ["https://b.example/cb", true],
    ["http://127.0.0.1:1/callback/mail", true],
    ["http://127.0.0.1:65535/callback/mail", true],
    ["https://a.example/back/{connection}", false],
    ["https://a.example/back/other", false],
    ["https://a.example/back/mail/", false],
    ["https://a.example/back/mail?x", false],
    ["https://a.example:8443/back/mail", false],
    ["https://b.example/cb/mail", false],
    ["https://b.example:8443/cb", false],
    ["http://127.0.0.1/callback/mail", false],
    ["http://127.0.0.1:1/callback/other", false],
    ["http://127.0.0.2:1/callback/mail", false],
    ["http://[::1]:1/callback/mail", false],
    ["http://localhost:1/callback/mail", false],
    ["https://127.0.0.1:1/callback/mail", false],
  ])("%s: %s", (redirect, isAllowed) => {
    expect(isAllowedRedirect(redirect, "mail", allowed)).toBe(isAllowed);
  });

  test("no redirect is allowed by an empty list, nor by an entry that is none", () => {
    expect(isAllowedRedirect("https://a.example/x", "x", [])).toBe(false);
    expect(isAllowedRedirect("https://a.example/x", "x", ["https://a.example/*"])).toBe(false);
  });
});

test("a redirect is a connection's own by its last segment", () => {
  expect(isOwnRedirect("https://a.example/back/mail", "mail")).toBe(true);
  expect(isOwnRedirect("https://a.example/back/gmail", "mail")).toBe(false);
  expect(isOwnRedirect("https://a.example/back", "mail")).toBe(false);
});
