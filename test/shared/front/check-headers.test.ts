import { expect, test } from "vitest";
import { checkHeaders } from "../../../services/shared/front/check-headers.ts";

const ORG = "oaaaaaaaaaaaaaaa";

test("no namespace, an empty one, and the organization's own id are equivalent", () => {
  for (const namespace of [undefined, "", ORG, `${ORG}/`]) {
    checkHeaders(namespace === undefined ? {} : { "x-vault-namespace": namespace }, ORG);
  }
});

test.each([
  "root",
  "/",
  "obbbbbbbbbbbbbbb",
  `${ORG}//`,
  `${ORG}/team`,
  ORG.toUpperCase(),
  `${ORG}, ${ORG}`,
])("namespace %s is refused", (namespace) => {
  expect(() => checkHeaders({ "x-vault-namespace": namespace }, ORG)).toThrow(
    /Namespaces are not supported: .* Unset VAULT_NAMESPACE/,
  );
});

test("response wrapping is refused", () => {
  expect(() => checkHeaders({ "x-vault-wrap-ttl": "60s" }, ORG)).toThrow(/wrapping is not supported/);
});
