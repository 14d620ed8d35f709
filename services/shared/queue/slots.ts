/** Room for handlers: at most so many at once, and of each group. Who waits enters in the order of arrival. */
export class Slots {
  readonly #most: number;
  readonly #perGroup: number;
  readonly #groups = new Map<string, number>();
  #waiting: { group: string; resolve(entered: boolean): void }[] = [];
  #taken = 0;
  #isClosed = false;

  constructor(most: number, perGroup: number) {
    this.#most = most;
    this.#perGroup = perGroup;
  }

  /** Resolves with true once there is room, which `leave` must then give back; with false if it was closed. */
  async enter(group: string): Promise<boolean> {
    if (this.#isClosed) return false;
    if (!this.#hasRoom(group)) {
      return new Promise((resolve) => this.#waiting.push({ group, resolve }));
    }
    this.#take(group);
    return true;
  }

  leave(group: string): void {
    this.#taken--;
    const left = (this.#groups.get(group) ?? 1) - 1;
    if (left > 0) this.#groups.set(group, left);
    else this.#groups.delete(group);
    const next = this.#waiting.find((each) => this.#hasRoom(each.group));
    if (!next) return;
    this.#waiting = this.#waiting.filter((each) => each !== next);
    this.#take(next.group);
    next.resolve(true);
  }

  /** Lets nobody in any more. */
  close(): void {
    this.#isClosed = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve(false);
  }

  #hasRoom(group: string): boolean {
    return this.#taken < this.#most && (this.#groups.get(group) ?? 0) < this.#perGroup;
  }

  #take(group: string): void {
    this.#taken++;
    this.#groups.set(group, (this.#groups.get(group) ?? 0) + 1);
  }
}
