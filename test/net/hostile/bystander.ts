// An honest session beside an attack: it pings all the time, and tells how long the answers took.

import { Lane, type Session } from "../../../src/net/session.ts";
import { pattern, readExactly } from "../lane_bytes.ts";
import { ProcessorWaits } from "./processor_waits.ts";

const PING_BYTES = 10;

export class Bystander {
  readonly session: Session;
  /** Odd while the listener is kept busy by its test. */
  #aparts = 0;
  readonly #waits = new ProcessorWaits();
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(session: Session) {
    this.session = session;
    this.#writer = session.lane(Lane.control).writable.getWriter();
    this.#writer.closed.catch(() => {});
    this.#reader = session.lane(Lane.control).readable.getReader();
    this.#reader.closed.catch(() => {});
  }

  /** Does `task`, during which pings go on and do not count: a test that sweeps the heap keeps the listener busy itself. */
  async apart(task: () => Promise<void> | void): Promise<void> {
    this.#aparts++;
    await task();
    this.#aparts++;
  }

  /**
   * Milliseconds from each ping to its answer, less the time in which this process could have run and the machine ran another: what
   * is left is what the listener does to its sessions, however busy the machine is. At least `count` of them, and on until `isOver`. `onPing` after each.
   */
  async pings(count: number, isOver: () => boolean = () => true, onPing: () => void = () => {}): Promise<number[]> {
    const delaysMs: number[] = [];
    while (delaysMs.length < count || !isOver()) {
      const aparts = this.#aparts;
      const end = this.#waits.begin();
      await this.#writer.write(pattern(0, PING_BYTES));
      await readExactly(this.#reader, PING_BYTES);
      const delayMs = end();
      const isCounted = aparts === this.#aparts && aparts % 2 === 0;
      if (isCounted) delaysMs.push(delayMs);
      onPing();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return delaysMs;
  }
}

/** Serves a bystander: what comes on the control lane goes back. */
export function echo(session: Session): void {
  const { readable, writable } = session.lane(Lane.control);
  readable.pipeTo(writable).catch(() => {});
}

/** The value that 99 of 100 are not above. */
export function p99(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.99) - 1]!;
}
