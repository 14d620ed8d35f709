/**
 * A function that runs `work` once at a time: a call returns what a run returns that has begun after the call. Calls
 * that come while one run lasts share the next. A run that failed does not keep the next from running.
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
