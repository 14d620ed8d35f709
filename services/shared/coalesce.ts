/**
 * Returns a function that runs `work`, one run at a time. A call returns the result of a run that began after the call;
 * calls during a run share the next one. A failed run does not prevent the next.
 */
export function coalesce<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> = Promise.resolve();
  let queued: Promise<T> | undefined;
  const next = (): Promise<T> => {
    queued = undefined;
    const run = work();
    running = run;
    return run;
  };
  return () => {
    queued ??= running.then(next, next);
    return queued;
  };
}
