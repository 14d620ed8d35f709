import { expect, test } from "vitest";
import { exitReason, sealedReason } from "../../../services/shared/process/exit-reason.ts";

const info = `{"@level":"info","@message":"proxy environment","@timestamp":"2026-01-01T00:00:00Z"}`;

test("a Vault that could not start says why in plain text among its log lines", () => {
  const log = `error parsing Seal configuration: Error making API request.

URL: PUT http://127.0.0.1:25020/v1/transit/encrypt/org-x
Code: 403. Errors:

* 2 errors occurred:
	* permission denied
	* invalid token


${info}
`;
  expect(exitReason(log)).toBe(
    "error parsing Seal configuration: Error making API request. URL: PUT " +
      "http://127.0.0.1:25020/v1/transit/encrypt/org-x Code: 403. Errors: * 2 errors occurred: " +
      "* permission denied * invalid token",
  );
});

test("one that ran says it in its last complaint", () => {
  const log = `==> Vault server configuration:

             Api Address: https://127.0.0.1:20000
                 Version: Vault v1.21.1

==> Vault server started! Log data will stream in below:

${info}
{"@level":"error","@message":"first","@timestamp":"2026-01-01T00:00:00Z"}
{"@level":"error","@message":"cannot write","@timestamp":"2026-01-01T00:00:00Z","error":"no space left"}
${info}
==> Vault shutdown triggered
`;
  expect(exitReason(log)).toBe("cannot write: no space left");
});

test("lines of Vault's standard format are understood too", () => {
  const log = `2026-01-01T00:00:00.000Z [INFO]  proxy environment: http_proxy=""
2026-01-01T00:00:00.000Z [ERROR] core: failed to unseal: error="denied"
2026-01-01T00:00:00.000Z [INFO]  more`;
  expect(exitReason(log)).toBe(`core: failed to unseal: error="denied"`);
});

test("nothing to say is undefined", () => {
  expect(exitReason("")).toBeUndefined();
  expect(exitReason(`${info}\n`)).toBeUndefined();
});

test("why it is sealed is the last complaint about that since it was unsealed", () => {
  const complaint = `{"@level":"warn","@message":"failed to unseal core","error":"Code: 403"}`;
  const others = `{"@level":"error","@message":"seal backend is completely unhealthy"}\n{"@level":"warn","@message":"post-unseal upgrade failed"}`;
  expect(sealedReason(`${complaint}\n${others}`)).toBe("failed to unseal core: Code: 403");
  expect(
    sealedReason(`${complaint}\n{"@level":"info","@message":"vault is unsealed"}\n${others}`),
  ).toBeUndefined();
});

test("nothing that looks like a secret gets through, and no reason is endless", () => {
  const secrets = [
    "hvs.CAESIJabcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----",
  ];
  for (const secret of secrets) expect(exitReason(`bad: ${secret}!`)).toBe("bad: [secret]!");
  expect(exitReason("cut -----BEGIN PRIVATE KEY-----\nMHcCAQ")).toBe("cut [secret]");
  expect(exitReason("x ".repeat(10_000))?.length).toBeLessThan(700);
});
