/** A request that is made to cost more than it pays. `size` is between 0 and 1: how much of its kind. */
export interface Shape {
  name: string;
  request(head: Head, size: number): Buffer;
}

/** What a request begins with: its line's path, and the header line that shows its token. */
export interface Head {
  path: string;
  token: string;
}

const MIB = 1024 * 1024;

/** A write of a body with its length. */
export function write({ path, token }: Head, body: string): Buffer {
  const lines = [`POST ${path} HTTP/1.1`, "Host: x", token, `Content-Length: ${Buffer.byteLength(body)}`];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body}`);
}

/** A read with more lines in its head. */
export function read({ path, token }: Head, lines: readonly string[] = []): Buffer {
  return Buffer.from([`GET ${path} HTTP/1.1`, "Host: x", token, ...lines, "", ""].join("\r\n"), "latin1");
}

const list = (count: number, make: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => make(i)).join();
const data = (members: string) => `{"data":{${members}}}`;
const text = (unit: string, size: number) =>
  data(`"a":"${unit.repeat(Math.floor((size * 1_000_000) / Buffer.byteLength(unit)))}"`);
const names = (count: number, make: (i: number) => string) => data(list(count, (i) => `"${make(i)}":1`));
const body = (name: string, make: (size: number) => string): Shape => ({
  name,
  request: (head, size) => write(head, make(size)),
});

const LOGIN: Head = { path: "/v1/auth/jwt/login", token: "Accept: */*" };
/** As long as a token and a login's body may be. */
const TOKEN_BYTES = 8 * 1024;
const LOGIN_BYTES = 16 * 1024;

/** A login's body with the token of a header line, but for one more claim, which its signature does not cover. */
function forgedLogin(line: string, size: number): string {
  const [header = "", payload = "", signature = ""] = line.slice(line.indexOf(" ") + 1).split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
  const room = Math.floor(((TOKEN_BYTES - header.length - signature.length - 4) * 3) / 4);
  const more = Math.floor(size * (room - JSON.stringify({ ...claims, more: "" }).length));
  const forged = Buffer.from(JSON.stringify({ ...claims, more: "x".repeat(more) })).toString("base64url");
  const jwt = `${header}.${forged}.${signature}`;
  return JSON.stringify({ jwt, more: "x".repeat(size * (LOGIN_BYTES - jwt.length - 30)) });
}

/** The space that is searched: each kind of input, from little of it to as much as is accepted. */
export const SHAPES: readonly Shape[] = [
  body("names", (size) => names(Math.floor(size * 3_999), (i) => `k${i}`)),
  body("names like numbers, of one hash", (size) =>
    names(Math.floor(size * 3_999), (i) => String(i * 4_096)),
  ),
  body("names that fill the body", (size) => names(3_999, (i) => `${"x".repeat(size * 250)}${i}`)),
  body("names of escapes", (size) => names(3_999, (i) => `${"\\u0041".repeat(size * 42)}${i}`)),
  body("names of surrogate pairs", (size) =>
    names(3_999, (i) => `${"\\ud83d\\ude00".repeat(size * 21)}${i}`),
  ),
  body("as long names as go", (size) => names(Math.floor(size * 255), (i) => `${"x".repeat(4_080)}${i}`)),
  body("elements", (size) => data(`"a":[${list(Math.floor(size * 3_990) + 1, () => "1")}]`)),
  body("long numbers", (size) => data(`"a":[${list(2_600, () => `0.${"1".repeat(size * 390)}`)}]`)),
  body("empty objects", (size) => data(`"a":[${list(Math.floor(size * 3_990) + 1, () => "{}")}]`)),
  body("depth", (size) =>
    data(list(40, (i) => `"${i}":${'{"a":'.repeat(size * 97)}1${"}".repeat(Math.floor(size * 97))}`)),
  ),
  body("a long text", (size) => text("x", size)),
  body("a text of escaped quotes", (size) => text('\\"', size)),
  body("a text of escapes", (size) => text("\\u0041", size)),
  body("a text of surrogate pairs", (size) => text("\\ud83d\\ude00", size)),
  body("a text beyond ASCII", (size) => text("ü", size)),
  body("white space", (size) => `{"data":${" ".repeat(size * 1_000_000)}{}}`),
  body("no JSON, at its very end", (size) => `${text("x", size)}x`),
  body("48,000 names", (size) => names(Math.floor(size * 48_000), (i) => `k${i}`)),
  body("no parts in many small texts", (size) => data(`"a":[${list(size * 3_990, () => '"xxxxxxxx"')}]`)),
  {
    name: "many header lines",
    request: (head, size) =>
      read(
        head,
        Array.from({ length: size * 2_400 }, () => "a:b"),
      ),
  },
  {
    name: "header lines of many names",
    request: (head, size) =>
      read(
        head,
        Array.from({ length: size * 1_500 }, (_, i) => `x${i}:b`),
      ),
  },
  { name: "a long header", request: (head, size) => read(head, [`x: ${"a".repeat(size * 14_000)}`]) },
  {
    name: "a long path",
    request: (head, size) => read({ ...head, path: `${head.path}/${"a/".repeat(size * 980)}a` }),
  },
  {
    name: "a long path, encoded",
    request: (head, size) => read({ ...head, path: `${head.path}/a${"%20".repeat(size * 650)}a` }),
  },
  {
    name: "a long query",
    request: (head, size) => read({ ...head, path: `${head.path}?version=1${"&a=b".repeat(size * 490)}` }),
  },
  {
    name: "chunks of a byte",
    request: ({ path, token }, size) => {
      const whole = `{"data":{"a":"${"x".repeat(size * 60_000)}"}}`;
      const chunks = [...whole].map((byte) => `1\r\n${byte}\r\n`).join("");
      const lines = [`POST ${path} HTTP/1.1`, "Host: x", token, "Transfer-Encoding: chunked"];
      return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${chunks}0\r\n\r\n`);
    },
  },
  {
    name: "a login by a forged token",
    request: ({ token }, size) => write(LOGIN, forgedLogin(token, size)),
  },
  {
    name: "chunks of 1 MiB in all",
    request: ({ path, token }, size) => {
      const whole = `{"data":{"a":"${"x".repeat(size * (MIB - 100))}"}}`;
      const lines = [`POST ${path} HTTP/1.1`, "Host: x", token, "Transfer-Encoding: chunked"];
      return Buffer.from(
        `${lines.join("\r\n")}\r\n\r\n${whole.length.toString(16)}\r\n${whole}\r\n0\r\n\r\n`,
      );
    },
  },
];
