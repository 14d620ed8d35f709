import { StrongroomError } from "../errors.ts";
import type { Identity } from "./identity/authenticator.ts";
import { TokenRefused } from "./identity/refused.ts";
import type { DirectoryOrg, DirectorySource, LoadedDirectory } from "./published/directory-source.ts";

/** An organization, and the directory that contains it. */
export interface ResolvedOrg {
  org: DirectoryOrg;
  directory: LoadedDirectory;
}

/**
 * The organization of a verified identity: by its pair (issuer, claim), and by nothing else in a request.
 * Undefined if the directory has none. Throws TokenRefused if the token has no organization claim.
 */
export function resolveOrg(
  directory: LoadedDirectory,
  { issuer, org }: Pick<Identity, "issuer" | "org">,
): DirectoryOrg | undefined {
  if (org === undefined) throw new TokenRefused("org_claim");
  return directory.find(issuer.issuer, org);
}

/**
 * {@link resolveOrg} for a directory that may be stale: a missing organization may have become ready since, so it is
 * looked up again in the newest directory. Throws `forbidden` if there is none, `directory_unavailable` if the newest
 * directory cannot be fetched.
 */
export async function resolveOrgNow(
  source: Pick<DirectorySource, "current" | "confirm">,
  directory: LoadedDirectory,
  identity: Identity,
): Promise<ResolvedOrg> {
  const known = resolveOrg(directory, identity);
  if (known) return { org: known, directory };
  const isNewest = await source.confirm();
  const found = source.current && resolveOrg(source.current, identity);
  if (found && source.current) return { org: found, directory: source.current };
  if (isNewest) throw new StrongroomError("forbidden", "permission denied");
  throw new StrongroomError(
    "directory_unavailable",
    "The gateway does not know this organization, and cannot fetch the newest directory now. Try again in a moment.",
  );
}
