import { StrongroomError } from "../../shared/errors.ts";
import type { Identity } from "../../shared/front/identity/authenticator.ts";
import { found } from "../../shared/front/passage.ts";
import type { DirectoryOrg } from "../../shared/front/published/directory-source.ts";
import type { RevocationSource } from "../../shared/front/published/revocation-source.ts";
import type { Dependencies } from "../dependencies.ts";
import type { Handler } from "./handler.ts";
import { askAboutMachine } from "./machine-token.ts";
import { sendDone } from "./send.ts";

const ANSWER_WITHIN_MS = 5_000;

/** `auth/token/revoke-self`: revokes a machine token at its Vault, a JWT here and at every other gateway. */
export const answerRevokeSelf =
  ({ logins, revocations, revocationsUrl }: Dependencies): Handler =>
  async (asked) => {
    const { reply, passage } = asked;
    if (passage.machine) return askAboutMachine(asked);
    const identity = found("caller", passage.identity);
    logins.forget(passage.org.id, identity);
    await revokeSelf(revocations, revocationsUrl, passage.org, identity);
    return sendDone(reply);
  };

/**
 * Revokes the caller's own token: here at once, and everywhere through the control plane, which gets a digest of it and
 * never the token. Throws `revocations_unavailable` or `too_many_requests` if the control plane did not take it.
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
  const detail =
    "The token is revoked at this gateway, but the other gateways could not be notified. Repeat the request.";
  const code = status === 429 ? "too_many_requests" : "revocations_unavailable";
  throw new StrongroomError(code, detail, { cause: cause ?? status });
}
