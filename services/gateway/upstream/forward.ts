import type { Dispatcher } from "undici";
import { StrongroomError } from "../../shared/errors.ts";
import type { Secret } from "../../shared/secret.ts";
import { tooLate, unavailable } from "./server-error.ts";
import type { Upstream } from "./upstreams.ts";

/** A request as an organization's Vault receives it. None of the caller's headers is forwarded. */
export interface VaultRequest {
  method: string;
  /** Canonical, with its query. */
  path: string;
  /** Absent for paths that need no token. */
  token?: Secret | undefined;
  body?: Buffer | string | undefined;
  contentType?: string | undefined;
  requestId: string;
}

/** Consumes an answer as it arrives. An error that it throws ends the request, and {@link forward} rethrows it. */
export type AnswerHandler = Required<
  Pick<Dispatcher.DispatchHandler, "onResponseStart" | "onResponseData" | "onResponseEnd">
> &
  Pick<Dispatcher.DispatchHandler, "onRequestStart" | "onResponseError">;

/** Requests to one Vault that may be pending; further ones are refused rather than queued. */
const MAX_PENDING = 512;

/** A Vault token sent with a request has at least this long left to live. */
export const TOKEN_LEFT_MS = 4_000;

const CIRCUIT_OPEN = "circuit open after repeated timeouts";

/**
 * Sends a request to an organization's Vault, once, and passes the answer to `handler`; resolves when the answer is
 * complete. Throws `org_vault_timeout` if it did not come in time, and `org_vault_unavailable` if none came at all, the
 * certificate was not the organization's, too many requests are pending, the circuit is open (circuit.ts), or a 403
 * came so late that it may be due to the token's end.
 */
export function forward(upstream: Upstream, request: VaultRequest, handler: AnswerHandler): Promise<void> {
  if (upstream.pending >= MAX_PENDING) return Promise.reject(unavailable("too many pending requests"));
  const { circuit, times } = upstream;
  const began = performance.now();
  const probe = circuit.open;
  if (!circuit.admits(began)) return Promise.reject(unavailable(CIRCUIT_OPEN));
  const headers = ["x-vault-request", "true", "x-request-id", request.requestId];
  if (request.token) headers.push("x-vault-token", request.token.reveal());
  if (request.contentType) headers.push("content-type", request.contentType);
  upstream.pending++;
  return new Promise<void>((resolve, reject) => {
    upstream.pool.dispatch(
      {
        method: request.method as Dispatcher.HttpMethod,
        path: request.path,
        headers,
        body: request.body ?? null,
      },
      {
        onRequestStart: (controller, context) => {
          // The circuit may have opened while this request waited for a connection.
          if (circuit.open && !probe) throw new Error(CIRCUIT_OPEN);
          handler.onRequestStart?.(controller, context);
        },
        onResponseStart: (controller, status, head) => {
          circuit.answered();
          // The token may have expired on the way, and then the 403 says nothing about the caller.
          if (status === 403 && request.token && performance.now() - began > TOKEN_LEFT_MS) {
            throw unavailable("403 after the token may have expired");
          }
          handler.onResponseStart(controller, status, head);
        },
        onResponseData: (controller, chunk) => {
          if (performance.now() - began > times.wholeMs) throw tooLate("the answer took too long");
          handler.onResponseData(controller, chunk);
        },
        onResponseEnd: (controller, trailers) => {
          upstream.pending--;
          try {
            handler.onResponseEnd(controller, trailers);
            resolve();
          } catch (error) {
            reject(error);
          }
        },
        onResponseError: (controller, error) => {
          upstream.pending--;
          circuit.failed(error, performance.now());
          handler.onResponseError?.(controller, error);
          reject(error instanceof StrongroomError ? error : unavailable(error));
        },
      },
    );
  });
}
