/** What a subscriber gets: a value, or the number of values that it was too slow for. */
export type Heard<Value> = { readonly value: Value } | { readonly missed: number };

interface Subscriber<Value> {
  readonly waiting: Heard<Value>[];
  /** No more values come. */
  isOver: boolean;
  wake: () => void;
}

/**
 * Passes values on to whoever listens at the time. Each listener has a buffer of `bufferedMax` values; one that is slower loses
 * the oldest and is told how many.
 */
export class Broadcast<Value> {
  readonly #bufferedMax: number;
  readonly #subscribers = new Set<Subscriber<Value>>();

  constructor(bufferedMax: number) {
    this.#bufferedMax = bufferedMax;
  }

  get subscriberCount(): number {
    return this.#subscribers.size;
  }

  publish(value: Value): void {
    for (const { waiting, wake } of this.#subscribers) {
      waiting.push({ value });
      if (waiting.length > this.#bufferedMax) this.#dropOldest(waiting);
      wake();
    }
  }

  /**
   * Values from this call on, until one of `ends` has aborted and what came before is read, or the loop is left. Nothing holds on
   * to a listener once one of `ends` has aborted, whether or not it was ever read.
   */
  subscribe(...ends: readonly AbortSignal[]): AsyncGenerator<Heard<Value>, void, undefined> {
    const subscriber: Subscriber<Value> = { waiting: [], isOver: false, wake: () => {} };
    const end = () => {
      for (const signal of ends) signal.removeEventListener("abort", end);
      this.#subscribers.delete(subscriber);
      subscriber.isOver = true;
      subscriber.wake();
    };
    this.#subscribers.add(subscriber);
    // Not AbortSignal.any: what it makes of a signal that lives long is kept as long.
    for (const signal of ends) signal.addEventListener("abort", end, { once: true });
    if (ends.some(({ aborted }) => aborted)) end();
    return listen(subscriber, end);
  }

  /** The first element tells of what is gone, so that the order stays. */
  #dropOldest(waiting: Heard<Value>[]): void {
    const first = waiting[0]!;
    const missed = "missed" in first ? first.missed : 0;
    waiting.splice(0, "missed" in first ? 2 : 1);
    const more = "missed" in first ? 1 : 2;
    if (!("missed" in first)) waiting.shift();
    waiting.unshift({ missed: missed + more });
  }
}

async function* listen<Value>(
  subscriber: Subscriber<Value>,
  end: () => void,
): AsyncGenerator<Heard<Value>, void, undefined> {
  try {
    for (;;) {
      const next = subscriber.waiting.shift();
      if (next) yield next;
      else if (subscriber.isOver) return;
      else await new Promise<void>((resolve) => subscriber.wake = resolve);
    }
  } finally {
    end();
  }
}
