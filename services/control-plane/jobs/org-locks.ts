/** Serializes work on each organization: either a job or a reconcile, never both. */
export interface OrgLocks {
  /** Runs `work` with the organization's lock, in the order of the calls. */
  run<T>(org: string, work: () => Promise<T>): Promise<T>;
  isHeld(org: string): boolean;
}

export function createOrgLocks(): OrgLocks {
  const last = new Map<string, Promise<unknown>>();
  return {
    async run(org, work) {
      const before = last.get(org) ?? Promise.resolve();
      const mine = before.then(work, work);
      last.set(org, mine);
      try {
        return await mine;
      } finally {
        if (last.get(org) === mine) last.delete(org);
      }
    },
    isHeld: (org) => last.has(org),
  };
}
