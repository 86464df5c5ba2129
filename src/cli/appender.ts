// Appends from the command line, each exactly once: every one carries this run's own producer triple, so that it can be
// sent again, to any leader, when nobody knows what has become of it.

import { ulid } from "ulid";
import type { AckLevel } from "../core/ack_level.ts";
import type { ProducerTriple } from "../core/producers.ts";
import { environment } from "../server/environment.node.ts";
import type { ClientTransport } from "./client_transports.ts";
import type { ClientOptions } from "./http_client.ts";

export interface AppendOptions extends ClientOptions {
  readonly ack: AckLevel;
  /** Default: the one that the address says. */
  readonly transport?: ClientTransport;
}

/** Where entries are in the channel. */
export interface Placed {
  readonly firstSeq: number;
  readonly lastSeq: number;
}

export interface Appender {
  /** Appends `lines` as an entry each. To be awaited before the next call: the order of calls is that of the entries. */
  append(lines: readonly Uint8Array[]): Promise<Placed>;
  close(): Promise<void>;
}

/** The producer of one run. */
export class RunProducer {
  readonly #id = ulid(environment.clock.now(), () => environment.random.next());
  #nextSeq = 0;

  /** Who makes the next append; the same until that is `done`. */
  get triple(): ProducerTriple {
    return { id: this.#id, epoch: 0, seq: this.#nextSeq };
  }

  done(): void {
    this.#nextSeq++;
  }
}
