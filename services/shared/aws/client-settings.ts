const CONNECTION_TIMEOUT_MS = 2_000;
const REQUEST_TIMEOUT_MS = 5_000;

/** Settings of every AWS client: the SDK's defaults have no timeouts. `attempts` includes the first one. */
export const clientSettings = (attempts: number, requestTimeoutMs = REQUEST_TIMEOUT_MS) => ({
  maxAttempts: attempts,
  requestHandler: {
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: requestTimeoutMs,
    // Without this the SDK only logs a warning and keeps waiting.
    throwOnRequestTimeout: true,
    socketTimeout: requestTimeoutMs,
  },
});
