import { StrongroomError } from "../../shared/errors.ts";
import type { Identity } from "../../shared/front/identity/identity.ts";
import type { DirectoryOrg } from "../../shared/front/published/directory-source.ts";
import type { RevocationSource } from "../../shared/front/published/revocation-source.ts";

const ANSWER_WITHIN_MS = 5_000;

/**
 * Ends the caller's own token: here at once, and everywhere through the control plane, which is told a digest of
 * it and never the token. Throws `revocations_unavailable` or `too_many_requests` where others could not be told.
 */
export async function revokeSelf(
  revocations: RevocationSource,
  url: string,
  org: DirectoryOrg,
  { key, expiresAt }: Pick<Identity, "key" | "expiresAt">,
): Promise<void> {
  revocations.add(org, key, expiresAt);
  let status: number | undefined;
  let cause: unknown;
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ org: org.id, token: key, expiresAt }),
      redirect: "error",
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    status = response.status;
    await response.body?.cancel();
  } catch (error) {
    cause = error;
  }
  if (status === 204) return;
  const detail = "The token is revoked at this gateway, but others could not be told. Repeat the request.";
  const code = status === 429 ? "too_many_requests" : "revocations_unavailable";
  throw new StrongroomError(code, detail, { cause: cause ?? status });
}
