/** Tells those who wait for a job that it has changed here. It may change in another intake too, so they look as well. */
export class JobWatch {
  readonly #listeners = new Map<string, Set<() => void>>();

  /** Calls `listener` at each change of the job until the returned function is called. */
  listen(job: string, listener: () => void): () => void {
    const listeners = this.#listeners.get(job) ?? new Set();
    this.#listeners.set(job, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(job) === listeners) this.#listeners.delete(job);
    };
  }

  changed(job: string): void {
    for (const listener of this.#listeners.get(job) ?? []) listener();
  }

  /** Resolves to true at the job's next change, to false after `ms` or when the signal aborts. */
  next(job: string, ms: number, signal?: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (changed: boolean) => {
        unlisten();
        clearTimeout(timer);
        signal?.removeEventListener("abort", stop);
        resolve(changed);
      };
      const stop = () => end(false);
      const unlisten = this.listen(job, () => end(true));
      const timer = setTimeout(stop, ms);
      signal?.addEventListener("abort", stop, { once: true });
      if (signal?.aborted) stop();
    });
  }
}
