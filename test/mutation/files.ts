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
const PAIRS = "Names and values come in pairs: there is none to be missing.";
const FOR_THE_COMPILER = "What follows comes to the same with undefined: the check is for the compiler.";

/** The security code, by path. */
export const FILES: Record<string, SecurityFile> = {
  "services/shared/secret.ts": by("test/shared/secret.test.ts"),
  "services/shared/audit/trail.ts": {
    tests: ["test/shared/audit/trail.test.ts"],
    equivalent: [
      { code: "[];\n  return sequence", reason: "The first of them is not read." },
      { code: "sequence === undefined || hash", by: "false", reason: FOR_THE_COMPILER },
      {
        code: "sequence === undefined || hash",
        by: "sequence === undefined && hash === undefined",
        reason: FOR_THE_COMPILER,
      },
      { code: "hash === undefined ?", by: "false", reason: FOR_THE_COMPILER },
      { code: "this.#pending.length <", by: "true", reason: "It spares memory: no more are passed on." },
      {
        code: "this.#pending.length <",
        by: "this.#pending.length <= NAMED_SLOTS",
        reason: "It spares memory: no more are passed on.",
      },
    ],
  },
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
      { code: '"";', reason: PAIRS },
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
  "services/shared/front/published/revocation-source.ts": {
    tests: ["test/shared/front/published/revocation-source.test.ts"],
    equivalent: [
      { code: "this.#own.size > 0 &&", by: "true", reason: ONLY_SLOWER },
      { code: "this.#own.size > 0 &&", by: "this.#own.size >= 0", reason: ONLY_SLOWER },
      { code: "tokenId !== undefined && revoked", by: "true", reason: "No list has undefined for an id." },
      { code: "1);\n  }\n\n  /** Revokes", reason: "No token was issued before 1970." },
      {
        code: "!(error instanceof RevocationsRefused)",
        by: "false",
        reason: "verifyRevocations throws nothing else.",
      },
    ],
  },
  "services/gateway/upstream/circuit.ts": {
    tests: ["test/gateway/upstream/circuit.test.ts"],
    equivalent: [{ code: "0;\n\n  /** Whether a request", reason: "It is set before it is first read." }],
  },
  "services/shared/front/resolve-org.ts": by("test/shared/front/resolve-org.test.ts"),
  "services/shared/front/check-headers.ts": by("test/shared/front/check-headers.test.ts"),
  "services/shared/front/http/connections.ts": {
    tests: ["test/shared/front/http/connections.test.ts"],
    equivalent: [{ code: "1) - 1;", reason: "What closes was counted when it opened." }],
  },
  "services/gateway/upstream/upstreams.ts": {
    tests: ["test/gateway/upstream/upstreams.test.ts"],
    equivalent: [{ code: "directory !== this.#directory)", by: "true", reason: ONLY_SLOWER }],
  },
  "services/gateway/upstream/logins.ts": {
    tests: ["test/gateway/upstream/logins.test.ts"],
    equivalent: [{ code: "oldest !== undefined)", by: "true", reason: FOR_THE_COMPILER }],
  },
  "services/shared/front/gcra.ts": {
    tests: ["test/shared/front/gcra.test.ts"],
    equivalent: [{ code: "oldest !== undefined)", by: "true", reason: FOR_THE_COMPILER }],
  },
  "services/shared/front/limits.ts": {
    tests: ["test/shared/front/limits.test.ts"],
    equivalent: [
      { code: "500 && !(error instanceof", by: "499", reason: "No code has the status 499." },
      {
        code: "0) > BARRED_UNITS",
        by: "1",
        reason: "Without a limit nothing is owed, or one: neither is too much.",
      },
      { code: '""] = v4.split(', reason: FOR_THE_COMPILER },
    ],
  },
  "services/shared/front/uploads.ts": {
    tests: ["test/shared/front/uploads.test.ts"],
    equivalent: [
      { code: "bytes === 0 ||", by: "false", reason: "0 bytes are counted in vain." },
      { code: "0 || response.destroyed", by: "1", reason: "0 bytes are counted in vain." },
      { code: "1_000);", by: "999", reason: "The answer says it in whole seconds." },
      { code: "0) this.#byOrg.set(", by: "1", reason: "A body counts 1,024 bytes or more." },
    ],
  },
  "services/shared/front/machine-callers.ts": {
    tests: ["test/shared/front/machine-callers.test.ts"],
    equivalent: [
      { code: '"", vaultToken', reason: "Any text that is no id is of no organization." },
      { code: '""] = MACHINE_TOKEN.exec', reason: "Without an id it is not read." },
      { code: "[];", reason: "The first of them is not read." },
      { code: "oldest !== undefined)", by: "true", reason: FOR_THE_COMPILER },
    ],
  },
  "services/gateway/http/list-verb.ts": {
    tests: ["test/gateway/http/list-verb.test.ts"],
    equivalent: [
      {
        code: "start >= 0 ?",
        by: "start > 0",
        reason: "Of 0 letters that came before, nothing is put in front.",
      },
      { code: "0 ? packet", by: "1", reason: "Of 0 letters that came before, nothing is put in front." },
      { code: '"", ...lines]', reason: FOR_THE_COMPILER },
      { code: "[];", reason: "The first of them is not read." },
      { code: '"").toLowerCase()', reason: PAIRS },
      { code: '""];', reason: PAIRS },
    ],
  },
  "services/gateway/route/check-body.ts": {
    tests: ["test/gateway/route/check-body.test.ts"],
    equivalent: [
      {
        code: 'contentType?.split(";")[0]?.trim',
        by: 'contentType?.split(";")[0].trim',
        reason: FOR_THE_COMPILER,
      },
      { code: "[]) {\n    if (names.has", reason: "No member has the name that stands for none." },
      { code: "256 }, (_, byte) =>", by: "257", reason: "No byte is 256." },
      { code: "1);\n    const [found]", by: "2", reason: "What is longer by more is too long as well." },
      { code: "1);\n    const [found]", by: "10", reason: "What is longer by more is too long as well." },
    ],
  },
  "services/gateway/route/canonical-path.ts": {
    tests: ["test/gateway/route/canonical-path.test.ts"],
    equivalent: [
      { code: "!LITERAL.test(path))", by: "true", reason: ONLY_SLOWER },
      { code: "/^(?:\\/[A-Za-z", by: "/^(?:\\/[A-Za-z0-9._~@+=,:-]+)\\/?$/", reason: ONLY_SLOWER },
      { code: "/^(?:\\/[A-Za-z", by: "/^(?:\\/[A-Za-z0-9._~@+=,:-])+\\/?$/", reason: ONLY_SLOWER },
      { code: "/^(?:\\/[A-Za-z", by: "/^(?:\\/[A-Za-z0-9._~@+=,:-]+)+\\/$/", reason: ONLY_SLOWER },
    ],
  },
  "services/gateway/route/authorize-path.ts": {
    tests: ["test/gateway/route/authorize-path.test.ts"],
    equivalent: [{ code: '"")) return "list=true"', reason: "What stands for an absent list is not true." }],
  },
  "services/gateway/answer/revoke-self.ts": {
    tests: ["test/gateway/answer/revoke-self.test.ts"],
    equivalent: [
      {
        code: "response.body?.cancel()",
        reason: "The status is known by then, and what is thrown is caught.",
      },
    ],
  },
  "services/gateway/route/routes.ts": by("test/gateway/route/authorize-path.test.ts"),
  "services/control-plane/jobs/engine.ts": {
    tests: ["test/control-plane/jobs/engine.test.ts"],
    equivalent: [
      { code: '"Interrupted"', reason: "It is thrown and caught here, and never shown." },
      { code: '"the service is stopping"', reason: "It is thrown and caught here, and never shown." },
      { code: '"another process runs the job', reason: "It is thrown and caught here, and never shown." },
      { code: "job.steps.find(({ name })", reason: FOR_THE_COMPILER },
      { code: "step.undo?.(job)", reason: FOR_THE_COMPILER },
      { code: "!isEnded(job))", by: "true", reason: "It is looked at again before it is run." },
      { code: "running.has(id) ||", by: "false", reason: "It waits for its turn, and has ended by then." },
      {
        code: "running.has(id) ||",
        by: "running.has(id) && waiting.has(id)",
        reason: "It waits for its turn, and has ended by then.",
      },
    ],
  },
};
