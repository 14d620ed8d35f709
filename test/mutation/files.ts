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
  /** The tests that notice when it is changed. None of them needs a Vault. */
  tests: string[];
  equivalent?: Equivalent[];
}

/** The test that mirrors a source file, and those that test it through others. */
const by = (...tests: string[]): SecurityFile => ({ tests });

/** The security code, by path. */
export const FILES: Record<string, SecurityFile> = {
  "services/shared/secret.ts": by("test/shared/secret.test.ts"),
  "services/shared/audit/trail.ts": by("test/shared/audit/trail.test.ts"),
  "services/shared/http/read-bounded.ts": by("test/shared/http/read-bounded.test.ts"),
  "services/shared/http/polled-document.ts": by(
    "test/shared/http/polled-document.test.ts",
    "test/shared/directory/load.test.ts",
  ),
  "services/shared/identity/token.ts": by("test/shared/identity/token.test.ts"),
  "services/shared/identity/canonical-form.ts": by("test/shared/identity/canonical-form.test.ts"),
  "services/shared/identity/claims.ts": by("test/shared/identity/claims.test.ts"),
  "services/shared/identity/issuer-keys.ts": by(
    "test/shared/identity/issuer-keys.test.ts",
    "test/shared/identity/identity.test.ts",
  ),
  "services/shared/identity/identity.ts": by("test/shared/identity/identity.test.ts"),
  "services/shared/identity/refused.ts": by("test/shared/identity/identity.test.ts"),
  "services/shared/directory/verify.ts": by("test/shared/directory/verify.test.ts"),
  "services/shared/directory/load.ts": by("test/shared/directory/load.test.ts"),
  "services/shared/revocations/verify.ts": by("test/shared/revocations/verify.test.ts"),
  "services/shared/revocations/load.ts": by("test/shared/revocations/load.test.ts"),
  "services/gateway/circuit.ts": by("test/gateway/circuit.test.ts"),
  "services/gateway/resolve-org.ts": by("test/gateway/resolve-org.test.ts"),
  "services/gateway/check-headers.ts": by("test/gateway/check-headers.test.ts"),
  "services/gateway/connections.ts": by("test/gateway/connections.test.ts"),
  "services/gateway/upstreams.ts": by("test/gateway/upstreams.test.ts"),
  "services/gateway/login.ts": by("test/gateway/login.test.ts"),
  "services/gateway/rate-limit.ts": by("test/gateway/rate-limit.test.ts"),
  "services/gateway/limits.ts": by("test/gateway/limits.test.ts"),
  "services/gateway/uploads.ts": by("test/gateway/uploads.test.ts"),
  "services/gateway/machine-callers.ts": by("test/gateway/machine-callers.test.ts"),
  "services/gateway/list-verb.ts": by("test/gateway/list-verb.test.ts"),
  "services/gateway/check-body.ts": by("test/gateway/check-body.test.ts"),
  "services/gateway/canonical-path.ts": by("test/gateway/canonical-path.test.ts"),
  "services/gateway/authorize-path.ts": by("test/gateway/authorize-path.test.ts"),
  "services/gateway/routes.ts": by("test/gateway/authorize-path.test.ts"),
  "services/control-plane/onboarding/engine.ts": by("test/control-plane/onboarding/engine.test.ts"),
};
