import { OTHER_HEADERS, OTHER_PATHS, OTHER_QUERIES } from "./spellings.ts";
import { use, type Way } from "./way.ts";

const shown = (text: string) => JSON.stringify(text);
const typed = (contentType: string): Way =>
  use(`body of type ${shown(contentType)}`, "not_allowed", () => ({
    ...{ method: "POST" as const, body: Buffer.from("{}"), headers: [["Content-Type", contentType]] },
  }));

/** The victim's request, let go by its receipt, in a form that no rule allows or that a destination reads in another way. */
export const requests: Way[] = [
  ...OTHER_PATHS.map((path) => use(`path ${shown(path)}`, "not_allowed", () => ({ path }))),
  ...["https://elsewhere.example/v1/charges", "elsewhere.example:443", "*", "", "v1/charges"].map((path) =>
    use(`path ${shown(path)}`, "malformed", () => ({ path })),
  ),
  use("path of 4,097 characters", "malformed", () => ({ path: `/v1/${"a".repeat(4_093)}` })),
  ...OTHER_QUERIES.map((query) =>
    use(`query ${shown(query)}`, "not_allowed", () => ({ path: `/v1/charges?${query}` })),
  ),
  ...OTHER_HEADERS.map(([name, value]) =>
    use(`header ${shown(name)}: ${shown(value)}`, "not_allowed", () => ({ headers: [[name, value]] })),
  ),
  use("a header of 65 characters", "malformed", () => ({ headers: [[`X-${"a".repeat(63)}`, "a"]] })),
  use("a header of 8,193 characters", "malformed", () => ({ headers: [["X-A", "a".repeat(8_193)]] })),
  use("65 headers", "not_allowed", () => ({
    headers: Array.from({ length: 65 }, (_, index): [string, string] => [`X-${index}`, "a"]),
  })),
  use("101 headers", "malformed", () => ({
    headers: Array.from({ length: 101 }, (_, index): [string, string] => [`X-${index}`, "a"]),
  })),
  use("16 KiB of headers", "not_allowed", () => ({
    headers: Array.from({ length: 3 }, (_, index): [string, string] => [`X-${index}`, "a".repeat(6_000)]),
  })),
  use("two types of one body", "not_allowed", () => ({
    ...{ method: "POST" as const, body: Buffer.from("{}") },
    headers: [
      ["Content-Type", "application/json"],
      ["content-type", "text/html"],
    ],
  })),
  ...[
    "",
    "text/html",
    "application/xml",
    "application/json, text/html",
    "multipart/form-data; boundary=a",
  ].map(typed),
  ...[
    "application/x-www-form-urlencoded",
    "application/jsonx",
    " ",
    ";application/json",
    "application/ json",
  ].map(typed),
  use("a body without a type", "not_allowed", () => ({ method: "POST", body: Buffer.from("{}") })),
  use("a body with GET", "not_allowed", () => ({ method: "GET", body: Buffer.from("{}") })),
  use("a body with HEAD", "not_allowed", () => ({ method: "HEAD", body: Buffer.from("{}") })),
];
