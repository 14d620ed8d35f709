import { expect, test } from "vitest";
import { isInjectable, isRefusedHeader } from "../../../services/shared/work/request-headers.ts";

const ORDINARY = ["X-Api-Key", "Api-Token", "X-Real"];
const NOBODYS = [
  ...["Host", "content-length", "Transfer-Encoding", "connection", "Idempotency-Key", "Range", "Cookie"],
  ...["X-HTTP-Method-Override", "X-Original-URL", "Forwarded", "Via"],
  ...["X-Amz-Copy-Source", "X-Amz-Copy-Source-Range", "X-Copy-From", "Destination"],
  ...["Proxy-Authorization", "X-Forwarded-For", "Sec-Fetch-Site", "webhook-signature"],
];

test.each(ORDINARY)("%s may carry a credential, and callers may set it", (header) => {
  expect(isInjectable(header)).toBe(true);
  expect(isRefusedHeader(header.toLowerCase())).toBe(false);
});

test.each(NOBODYS)("%s carries no credential, and callers may not set it", (header) => {
  expect(isInjectable(header)).toBe(false);
  expect(isRefusedHeader(header.toLowerCase())).toBe(true);
});

test("Authorization is for credentials only", () => {
  expect(isInjectable("Authorization")).toBe(true);
  expect(isRefusedHeader("authorization")).toBe(true);
});

test.each([
  "Content-Type",
  "Content-Encoding",
  "Origin",
  "Referer",
  "Access-Control-Request-Method",
])("%s describes the request: callers may set it, and it carries no credential", (header) => {
  expect(isInjectable(header)).toBe(false);
  expect(isRefusedHeader(header.toLowerCase())).toBe(false);
});
