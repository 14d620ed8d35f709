/** A change that no test can notice, since nothing that the file promises changes by it. */
export interface Equivalent {
  /** The code that is changed, from its first letter on, as far as it takes to tell it from others. */
  code: string;
  /** What stands in its place; any change of the code unless given. */
  by?: string;
  reason: string;
}

/** A file that decides who gets in, or how much one caller costs the others. */
export interface SecurityFile {
  /** The tests that notice when it is changed. None needs a Vault, and none has another name in each run. */
  tests: string[];
  equivalent?: Equivalent[];
}

/** The test that mirrors a source file, and those that test it through others. */
const by = (...tests: string[]): SecurityFile => ({ tests });

const ONLY_SLOWER = "It spares doing the same work again.";
const FOR_THE_COMPILER = "What follows comes to the same with undefined: the check is for the compiler.";

/** The security code, by path. */
export const FILES: Record<string, SecurityFile> = {
  "services/shared/secret.ts": by("test/shared/secret.test.ts"),
  "services/shared/audit/trail.ts": by("test/shared/audit/trail.test.ts"),
  "services/shared/http/read-bounded.ts": by("test/shared/http/read-bounded.test.ts"),
  "services/shared/front/published/polled-document.ts": {
    tests: ["test/shared/front/published/polled-document.test.ts"],
    equivalent: [{ code: "text === undefined || !use)", by: "false", reason: FOR_THE_COMPILER }],
  },
  "services/shared/front/identity/token.ts": {
    tests: ["test/shared/front/identity/token.test.ts"],
    equivalent: [
      { code: "i < headers.length;", by: "i <= headers.length", reason: FOR_THE_COMPILER },
      { code: "name.length !== ", by: "false", reason: "The names are compared below: this is faster." },
      { code: '"";', reason: "Names and values come in pairs: there is none to be missing." },
    ],
  },
  "services/shared/front/identity/canonical-form.ts": {
    tests: ["test/shared/front/identity/canonical-form.test.ts"],
    equivalent: [
      { code: "!header64 || !payload64 ||", by: "false", reason: "An empty part is no JSON either." },
      { code: "!header64 ||", by: "!header64 && !payload64", reason: "An empty part is no JSON either." },
      { code: '{\n    throw new TokenRefused("token_form")', by: "{}", reason: "undefined is refused next." },
      { code: "[];", reason: "Nothing reads what lies below the first brace." },
      { code: '"";', reason: "A name comes before the first colon." },
      { code: "names?.has(name)", reason: FOR_THE_COMPILER },
      { code: "names?.add(name)", reason: FOR_THE_COMPILER },
    ],
  },
  "services/shared/front/identity/claims.ts": by("test/shared/front/identity/claims.test.ts"),
  "services/shared/front/identity/issuer-keys.ts": {
    tests: ["test/shared/front/identity/issuer-keys.test.ts"],
    equivalent: [
      { code: "uat !== undefined &&", by: "true", reason: FOR_THE_COMPILER },
      { code: "modulusLength !== undefined &&", by: "true", reason: FOR_THE_COMPILER },
      { code: "!pem)", by: "true", reason: ONLY_SLOWER },
      { code: "this.#pem.set(", reason: ONLY_SLOWER },
    ],
  },
  "services/shared/front/identity/authenticator.ts": {
    tests: ["test/shared/front/identity/authenticator.test.ts"],
    equivalent: [
      { code: "[];\n\n  /** The issuers,", reason: "It is compared with a list, and is none." },
      { code: "list === known)", by: "false", reason: ONLY_SLOWER },
      { code: '["RS256", "ES256", "EdDSA"],', by: "[]", reason: "trust() lets no other pass." },
      { code: "oldest !== undefined)", by: "true", reason: FOR_THE_COMPILER },
    ],
  },
  "services/shared/front/identity/refused.ts": by("test/shared/front/identity/authenticator.test.ts"),
  "services/shared/front/published/verify-directory.ts": by(
    "test/shared/front/published/verify-directory.test.ts",
  ),
  "services/shared/front/published/ownership.ts": {
    tests: ["test/shared/front/published/verify-directory.test.ts"],
    equivalent: [
      { code: "statement === undefined)", by: "false", reason: ONLY_SLOWER },
      { code: "1 }),\n  },", by: "0", reason: "0 counts as none." },
      { code: "(reason: string) =>", reason: "Whatever it is, it counts as none." },
    ],
  },
  "services/shared/front/published/directory-source.ts": {
    tests: ["test/shared/front/published/directory-source.test.ts"],
    equivalent: [
      {
        code: "!(error instanceof DirectoryRefused)",
        by: "false",
        reason: "verifyDirectory throws nothing else.",
      },
    ],
  },
  "services/shared/front/published/verify-revocations.ts": by(
    "test/shared/front/published/verify-revocations.test.ts",
  ),
  "services/shared/front/published/revocation-source.ts": by(
    "test/shared/front/published/revocation-source.test.ts",
  ),
  "services/gateway/upstream/circuit.ts": {
    tests: ["test/gateway/upstream/circuit.test.ts"],
    equivalent: [{ code: "0;\n\n  /** Whether a request", reason: "It is set before it is first read." }],
  },
  "services/shared/front/resolve-org.ts": by("test/shared/front/resolve-org.test.ts"),
  "services/shared/front/check-headers.ts": by("test/shared/front/check-headers.test.ts"),
  "services/gateway/http/connections.ts": {
    tests: ["test/gateway/http/connections.test.ts"],
    equivalent: [{ code: "1) - 1;", reason: "What closes was counted when it opened." }],
  },
  "services/gateway/upstream/upstreams.ts": {
    tests: ["test/gateway/upstream/upstreams.test.ts"],
    equivalent: [{ code: "directory !== this.#directory)", by: "true", reason: ONLY_SLOWER }],
  },
  "services/gateway/upstream/login.ts": {
    tests: ["test/gateway/upstream/login.test.ts"],
    equivalent: [{ code: "oldest !== undefined)", by: "true", reason: FOR_THE_COMPILER }],
  },
  "services/shared/front/gcra.ts": {
    tests: ["test/shared/front/gcra.test.ts"],
    equivalent: [{ code: "oldest !== undefined)", by: "true", reason: FOR_THE_COMPILER }],
  },
  "services/shared/front/limits.ts": by("test/shared/front/limits.test.ts"),
  "services/shared/front/uploads.ts": by("test/shared/front/uploads.test.ts"),
  "services/shared/front/machine-callers.ts": by("test/shared/front/machine-callers.test.ts"),
  "services/gateway/http/list-verb.ts": by("test/gateway/http/list-verb.test.ts"),
  "services/gateway/route/check-body.ts": by("test/gateway/route/check-body.test.ts"),
  "services/gateway/route/canonical-path.ts": by("test/gateway/route/canonical-path.test.ts"),
  "services/gateway/route/authorize-path.ts": by("test/gateway/route/authorize-path.test.ts"),
  "services/gateway/route/routes.ts": by("test/gateway/route/authorize-path.test.ts"),
  "services/control-plane/jobs/engine.ts": by("test/control-plane/jobs/engine.test.ts"),
};
