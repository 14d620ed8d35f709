import type { Secret } from "../../shared/secret.ts";
import { forward } from "./forward.ts";
import { isAnswer, serverError } from "./server-error.ts";
import type { Upstream } from "./upstreams.ts";

const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Posts JSON to an organization's Vault, or sends a GET if there is no body, and returns the whole answer if its status
 * is 2xx or 4xx. Throws as {@link forward} does, and `org_vault_sealed` or `org_vault_unavailable` for any other
 * status.
 */
export async function exchange(
  upstream: Upstream,
  path: string,
  body: string | undefined,
  requestId: string,
  token?: Secret,
): Promise<{ status: number; text: string }> {
  const chunks: Buffer[] = [];
  let size = 0;
  let answered = 0;
  await forward(
    upstream,
    {
      method: body === undefined ? "GET" : "POST",
      path,
      token,
      body,
      contentType: body && "application/json",
      requestId,
    },
    {
      onResponseStart(_controller, status) {
        answered = status;
      },
      onResponseData(_controller, chunk) {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) throw new Error("the answer is too large");
        chunks.push(chunk);
      },
      onResponseEnd() {},
    },
  );
  const text = Buffer.concat(chunks).toString("utf8");
  if (!isAnswer(answered)) throw serverError(answered, text);
  return { status: answered, text };
}
