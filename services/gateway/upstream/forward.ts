import type { Dispatcher } from "undici";
import { StrongroomError } from "../../shared/errors.ts";
import type { Secret } from "../../shared/secret.ts";
import { tooLate, unavailable } from "./server-error.ts";
import type { Upstream } from "./upstreams.ts";

/** A request as an organization's Vault gets it. Nothing of the caller's headers goes along. */
export interface VaultRequest {
  method: string;
  /** Canonical, with its query. */
  path: string;
  /** None for the paths that need none. */
  token?: Secret | undefined;
  body?: Buffer | string | undefined;
  contentType?: string | undefined;
  requestId: string;
}

/** Takes an answer as it comes. What it throws ends the request, and is what {@link forward} throws. */
export type AnswerHandler = Required<
  Pick<Dispatcher.DispatchHandler, "onResponseStart" | "onResponseData" | "onResponseEnd">
> &
  Pick<Dispatcher.DispatchHandler, "onRequestStart" | "onResponseError">;

/** Beyond this many, requests to a Vault that does not keep up are refused rather than queued. */
const MAX_PENDING = 512;

/** When a request is sent, the login that goes with it lives for at least this long. */
export const TOKEN_LEFT_MS = 4_000;

const NOT_LATELY = "it has not answered lately";

/**
 * Sends a request to an organization's Vault, once, and has `handler` take the answer; resolves when it
 * has been taken whole. Throws `org_vault_timeout` where none came in time, and `org_vault_unavailable` where
 * none came at all, where the certificate was not the organization's, where too many wait already, where it
 * has not answered lately (circuit.ts), or where it came so late that its 403 may mean a login that has ended.
 */
export function forward(upstream: Upstream, request: VaultRequest, handler: AnswerHandler): Promise<void> {
  if (upstream.pending >= MAX_PENDING) return Promise.reject(unavailable("too many requests wait for it"));
  const { circuit, times } = upstream;
  const began = performance.now();
  const probe = circuit.open;
  if (!circuit.admits(began)) return Promise.reject(unavailable(NOT_LATELY));
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
          // It may have waited for a connection while those before it ran into their timeouts.
          if (circuit.open && !probe) throw new Error(NOT_LATELY);
          handler.onRequestStart?.(controller, context);
        },
        onResponseStart: (controller, status, head) => {
          circuit.answered();
          // Its token may have ended on the way, and then this says nothing about the caller.
          if (status === 403 && request.token && performance.now() - began > TOKEN_LEFT_MS) {
            throw unavailable("403 after the time that its login was sure to last");
          }
          handler.onResponseStart(controller, status, head);
        },
        onResponseData: (controller, chunk) => {
          if (performance.now() - began > times.wholeMs) throw tooLate("the answer takes too long");
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
