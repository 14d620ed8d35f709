import { isAtLeast } from "./recipe.ts";

/** A published weakness of Vault Community Edition, and what it means for this platform. */
export interface Advisory {
  id: string;
  /** The first Community Edition release without it. */
  fixedIn: string;
  /** What it lets somebody do, in Vault itself. */
  weakness: string;
  /** Who can use it here: `nobody`, or somebody whom `because` names. */
  reachable: "nobody" | "some";
  /** Why, and the test or the page that shows it. */
  because: string;
}

/** The oldest Vault that is used, whatever says that it should be. */
export const MINIMUM = {
  version: "1.21.0",
  because:
    "the oldest that everything here was tried on. Before it, one request with a complex JSON body keeps a " +
    "Vault busy for minutes (CVE-2025-6203, CVE-2025-12044), and logins by AWS IAM can be confused across " +
    "accounts (CVE-2025-11621)",
};

/** The Vault that is downloaded, that the images name, and that `doctor` recommends. */
export const RECOMMENDED = {
  version: "2.2.2",
  released: "2026-11-12",
  because:
    "the newest release known here. Community Edition's fixes of 2026 came only in 2.x; the newest Vault " +
    "that can be built from the Go module proxy is 1.21.2, which has none of them",
};

/**
 * What has been published of Vault since {@link MINIMUM}, as known when {@link RECOMMENDED} was last changed.
 * Advisories of Enterprise only, and of methods and engines that nobody can mount here, are left out.
 */
export const ADVISORIES: Advisory[] = [
  {
    id: "CVE-2026-5807",
    fixedIn: "2.0.0",
    weakness: "anyone who reaches a Vault starts or cancels a rekey or the making of a root token",
    reachable: "some",
    because:
      "who reaches a Vault past the gateway, which forwards no such path (test/attack/paths.test.ts). At the " +
      "internal Vault a quota lets each address ask ten times an hour (test/cli/platform/recovery-quota.test.ts). " +
      "Neither ends without recovery keys (test/e2e/authorities.test.ts)",
  },
  {
    id: "CVE-2026-3605",
    fixedIn: "2.0.0",
    weakness: "a KV policy with a glob lets its holder delete secrets that it does not cover",
    reachable: "some",
    because:
      "who reaches a Vault past the gateway with a token of its own: the gateway passes one spelling of a path " +
      "and refuses the others (test/attack/paths.test.ts); which policies have globs is in docs/threat-model.md",
  },
  {
    id: "CVE-2026-89322",
    fixedIn: "2.1.2",
    weakness: "a policy is matched with a path that is not the canonical one",
    reachable: "some",
    because: "as CVE-2026-3605: through the gateway only canonical paths pass (test/attack/paths.test.ts)",
  },
  {
    id: "CVE-2026-12624",
    fixedIn: "2.0.3",
    weakness: "a list with a slash at its end passes a rule that denies by a glob",
    reachable: "nobody",
    because: "no policy here denies by a glob: vault-policies",
  },
  {
    id: "CVE-2026-5006",
    fixedIn: "2.0.4",
    weakness: "a slash in a name that a templated policy uses gives access to other paths",
    reachable: "nobody",
    because:
      "one policy has a template, and only the control plane names what it is filled with; it may make the " +
      "unseal token of each organization anyway, one by one (test/e2e/authorities.test.ts)",
  },
  {
    id: "CVE-2026-4525",
    fixedIn: "2.0.0",
    weakness:
      "a mount that is told to pass the header Authorization on hands the caller's token to its plugin",
    reachable: "nobody",
    because:
      "no mount is tuned to, and the comparison reports one that is (test/shared/vault/org-vault.test.ts)",
  },
  {
    id: "CVE-2026-105816",
    fixedIn: "2.1.2",
    weakness: "who may restore a raft snapshot runs a program as Vault, if a plugin folder is configured",
    reachable: "nobody",
    because: "no server has a plugin folder (services/shared/vault/server-config.ts)",
  },
  ...["CVE-2026-92735", "CVE-2026-93333", "CVE-2026-93335"].map(
    (id): Advisory => ({
      id,
      fixedIn: "2.2.2",
      weakness: "in audit devices and what configures them",
      reachable: "some",
      because:
        "an operator with platform-maintain, who alone may configure audit devices " +
        "(test/e2e/permission-matrix-org.golden.json), and opens the organization anyway",
    }),
  ),
];

/** The advisories that a version, like `1.21.2`, does not have the fix of. */
export const openAdvisories = (version: string): Advisory[] =>
  ADVISORIES.filter(({ fixedIn }) => !isAtLeast(version, fixedIn));
