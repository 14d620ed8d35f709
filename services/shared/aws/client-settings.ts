const CONNECTION_TIMEOUT_MS = 2_000;
const REQUEST_TIMEOUT_MS = 5_000;

/** What every client of AWS is given: the SDK's own would wait for ever. `attempts` counts the first one too. */
export const clientSettings = (attempts: number, requestTimeoutMs = REQUEST_TIMEOUT_MS) => ({
  maxAttempts: attempts,
  requestHandler: {
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: requestTimeoutMs,
    // Without it the SDK only logs a warning and waits on.
    throwOnRequestTimeout: true,
    socketTimeout: requestTimeoutMs,
  },
});
