// The other ends of pairs: each is started when a test first needs it, and again when it is gone.

import type { RemoteParty } from "./remote_party.ts";

/** Something that runs elsewhere and is one side of tests. */
export interface RemoteEnd {
  readonly party: RemoteParty;
  /** Resolves with the reason once it is gone. */
  readonly gone: Promise<string>;
  /** Stops it where it stands: its connections stay open and nothing answers, until `thaw`. Where that can be done. */
  readonly freeze?: () => void;
  readonly thaw?: () => void;
  /** Ends it at once, as a crash would. Harmless when repeated. */
  kill(): Promise<void>;
}

export type StartEnd = () => Promise<RemoteEnd>;

/** Where one side of a pair is. Bun is the process that runs the tests, unless the other side is that already. */
export type CrossEnd = "Bun" | "Deno" | "Node" | "Bun on a newer C library" | "Chromium";

/** How each end is started that is not this process, and Bun where it is not. */
export type StartEnds = Partial<Record<CrossEnd, StartEnd>>;

export class RemoteEnds {
  readonly #started = new Map<StartEnd, Promise<RemoteEnd>>();

  /** What `start` starts, the same as long as it lives. */
  get(start: StartEnd): Promise<RemoteEnd> {
    const known = this.#started.get(start);
    if (known) return known;
    const started = start();
    this.#started.set(start, started);
    const forget = () => {
      if (this.#started.get(start) === started) this.#started.delete(start);
    };
    started.then(({ gone }) => gone.then(forget), forget);
    return started;
  }

  async kill(start: StartEnd): Promise<void> {
    const started = this.#started.get(start);
    this.#started.delete(start);
    await (await started)?.kill();
  }

  async end(): Promise<void> {
    await Promise.allSettled([...this.#started.values()].map(async (each) => await (await each).kill()));
  }
}
