// The times at which a machine wants to look again, by what for: one timer serves them all.

export class Deadlines<Name extends string> {
  readonly #times = new Map<Name, number>();

  /** The earliest, if any. */
  get next(): number | undefined {
    let next: number | undefined;
    for (const atMs of this.#times.values()) if (next === undefined || atMs < next) next = atMs;
    return next;
  }

  has(name: Name): boolean {
    return this.#times.has(name);
  }

  set(name: Name, atMs: number): void {
    this.#times.set(name, atMs);
  }

  clear(...names: Name[]): void {
    for (const name of names) this.#times.delete(name);
  }

  /** Whether the time of `name` has come; it is forgotten then. */
  take(name: Name, nowMs: number): boolean {
    const atMs = this.#times.get(name);
    if (atMs === undefined || atMs > nowMs) return false;
    this.#times.delete(name);
    return true;
  }
}
