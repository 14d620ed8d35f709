import type { DirectoryOrg, LoadedDirectory } from "../shared/directory/load.ts";
import { StrongroomError } from "../shared/errors.ts";
import type { Identity } from "../shared/identity/identity.ts";
import { TokenRefused } from "../shared/identity/refused.ts";

/**
 * The organization of a verified identity: by its pair (issuer, claim), and by nothing else of a request.
 * Throws TokenRefused where the token names none, `forbidden` where it is unknown or deleted.
 */
export function resolveOrg(directory: LoadedDirectory, { issuer, org }: Identity): DirectoryOrg {
  if (org === undefined) throw new TokenRefused("org_claim");
  const found = directory.find(issuer.issuer, org);
  if (!found) throw new StrongroomError("forbidden", "permission denied");
  return found;
}
