import { isAtLeast } from "./recipe.ts";

/** A published vulnerability of Vault Community Edition, and its effect on this platform. */
export interface Advisory {
  id: string;
  /** The first Community Edition release without it. */
  fixedIn: string;
  /** What it lets an attacker do in Vault itself. */
  weakness: string;
  /** Whether anyone can exploit it here; if so, `because` says who. */
  reachable: "nobody" | "some";
  /** The reason, with the test or the page that shows it. */
  because: string;
}

/** The oldest Vault that the platform accepts from any source. */
export const MINIMUM = {
  version: "1.21.0",
  because:
    "the oldest version that all tests ran against. In older ones, one request with a complex JSON body keeps a " +
    "Vault busy for minutes (CVE-2025-6203, CVE-2025-12044), and AWS IAM logins can be confused across " +
    "accounts (CVE-2025-11621)",
};

/** The Vault version that is downloaded, pinned in the images and recommended by `doctor`. */
export const RECOMMENDED = {
  version: "2.2.2",
  released: "2026-11-12",
  because:
    "the newest release known here. Only 2.x has Community Edition's fixes of 2026; the newest Vault that can " +
    "be built from the Go module proxy is 1.21.2, which has none of them",
};

/**
 * Vault's advisories since {@link MINIMUM}, as known when {@link RECOMMENDED} was last changed. Omits advisories
 * for Enterprise only and for methods and engines that nobody can mount here.
 */
export const ADVISORIES: Advisory[] = [
  {
    id: "CVE-2026-5807",
    fixedIn: "2.0.0",
    weakness: "anyone who can reach a Vault can start or cancel a rekey or a root-token generation",
    reachable: "some",
    because:
      "anyone who reaches a Vault without the gateway, which forwards no such path (test/attack/paths.test.ts). The " +
      "internal Vault limits each IP to ten requests an hour (test/cli/platform/recovery-quota.test.ts). " +
      "Neither operation completes without recovery keys (test/e2e/authorities.test.ts)",
  },
  {
    id: "CVE-2026-3605",
    fixedIn: "2.0.0",
    weakness: "a KV policy with a glob lets its holder delete secrets that it does not cover",
    reachable: "some",
    because:
      "anyone who reaches a Vault without the gateway and has a token of that Vault: the gateway forwards only the " +
      "canonical form of a path (test/attack/paths.test.ts); docs/threat-model.md lists the policies with globs",
  },
  {
    id: "CVE-2026-89322",
    fixedIn: "2.1.2",
    weakness: "policies are matched against a non-canonical path",
    reachable: "some",
    because: "as for CVE-2026-3605: the gateway forwards only canonical paths (test/attack/paths.test.ts)",
  },
  {
    id: "CVE-2026-12624",
    fixedIn: "2.0.3",
    weakness: "a list request with a trailing slash bypasses a deny rule with a glob",
    reachable: "nobody",
    because: "no policy here has a deny rule with a glob: vault-policies",
  },
  {
    id: "CVE-2026-5006",
    fixedIn: "2.0.4",
    weakness: "a slash in a name that a templated policy uses grants access to other paths",
    reachable: "nobody",
    because:
      "one policy has a template, and only the control plane sets the names in it; the control plane may create each " +
      "organization's unseal token anyway, one at a time (test/e2e/authorities.test.ts)",
  },
  {
    id: "CVE-2026-4525",
    fixedIn: "2.0.0",
    weakness: "a mount tuned to pass the Authorization header through gives the caller's token to its plugin",
    reachable: "nobody",
    because:
      "no mount is tuned that way, and drift detection reports one that is (test/shared/vault/org-vault.test.ts)",
  },
  {
    id: "CVE-2026-105816",
    fixedIn: "2.1.2",
    weakness:
      "anyone who may restore a raft snapshot can run a program as Vault, if a plugin folder is configured",
    reachable: "nobody",
    because: "no server has a plugin folder (services/shared/vault/server-config.ts)",
  },
  ...["CVE-2026-92735", "CVE-2026-93333", "CVE-2026-93335"].map(
    (id): Advisory => ({
      id,
      fixedIn: "2.2.2",
      weakness: "several, in audit devices and their configuration",
      reachable: "some",
      because:
        "an operator with platform-maintain, who alone may configure audit devices " +
        "(test/e2e/permission-matrix-org.golden.json), and can access the organization's data anyway",
    }),
  ),
];

/** The advisories that are not fixed in a version, like `1.21.2`. */
export const openAdvisories = (version: string): Advisory[] =>
  ADVISORIES.filter(({ fixedIn }) => !isAtLeast(version, fixedIn));
