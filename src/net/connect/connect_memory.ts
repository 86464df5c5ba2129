import type { Clock } from "../../core/environment.ts";
import type { NetworkTransport } from "./dialer.ts";

/** How long a transport that was passed over is not the first to be tried. */
export const SECOND_CHANCE_AFTER_MS = 600_000;
/** Origins that are remembered; the one used least recently makes room. */
const ORIGINS_MAX = 256;

interface Memory {
  readonly winner: NetworkTransport;
  readonly untilMs: number;
}

/** Which transport won at which origin although another was preferred. Kept by whoever connects again and again. */
export class ConnectMemory {
  readonly #clock: Clock;
  readonly #origins = new Map<string, Memory>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Transports to try at `origin`, the winner of last time first while that is remembered. */
  order(origin: string, preferred: readonly NetworkTransport[]): readonly NetworkTransport[] {
    const memory = this.#origins.get(origin);
    if (!memory || !preferred.includes(memory.winner)) return preferred;
    if (this.#clock.monotonic() >= memory.untilMs) return preferred;
    return [memory.winner, ...preferred.filter((transport) => transport !== memory.winner)];
  }

  /** `winner` was ready while a preferred transport failed or was late. The time for its second chance is not moved. */
  passedOver(origin: string, winner: NetworkTransport): void {
    const nowMs = this.#clock.monotonic();
    const known = this.#origins.get(origin);
    const untilMs = known && known.untilMs > nowMs ? known.untilMs : nowMs + SECOND_CHANCE_AFTER_MS;
    this.#origins.delete(origin);
    this.#origins.set(origin, { winner, untilMs });
    if (this.#origins.size > ORIGINS_MAX) this.#origins.delete(this.#origins.keys().next().value!);
  }

  /** The most preferred transport won. */
  forget(origin: string): void {
    this.#origins.delete(origin);
  }

  /** Origins that are remembered now. */
  get size(): number {
    return this.#origins.size;
  }
}
