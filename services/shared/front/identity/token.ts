import type { IncomingMessage } from "node:http";
import { TokenRefused } from "./refused.ts";

const BEARER = /^Bearer +([^\s]+)$/i;

/**
 * The token of a request, from `Authorization: Bearer` or `X-Vault-Token`. Throws {@link TokenRefused} if there is
 * none, a header is repeated, or the two contain different tokens: every reader of the request must see the same token.
 */
export function requestToken(request: IncomingMessage): string {
  let authorization: string | undefined;
  let vaultToken: string | undefined;
  // The raw list, because Node drops a second Authorization and joins a second X-Vault-Token.
  const headers = request.rawHeaders;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if (name.length !== "authorization".length) continue; // x-vault-token is as long
    const lower = name.toLowerCase();
    if (lower === "authorization") {
      if (authorization !== undefined) throw new TokenRefused("token_header_repeated");
      authorization = headers[i + 1] ?? "";
    } else if (lower === "x-vault-token") {
      if (vaultToken !== undefined) throw new TokenRefused("token_header_repeated");
      vaultToken = headers[i + 1] ?? "";
    }
  }
  if (authorization === undefined) {
    if (!vaultToken) throw new TokenRefused("token_missing");
    return vaultToken;
  }
  const bearer = BEARER.exec(authorization)?.[1];
  if (bearer === undefined) throw new TokenRefused("authorization_scheme");
  if (vaultToken !== undefined && vaultToken !== bearer) throw new TokenRefused("token_headers_differ");
  return bearer;
}

/** Whether a request has either header, whatever its value. */
export function hasToken(request: IncomingMessage): boolean {
  return request.headers.authorization !== undefined || request.headers["x-vault-token"] !== undefined;
}
