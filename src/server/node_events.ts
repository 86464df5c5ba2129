// What happens to a node and its channels, for whoever listens: its sessions with peers, its replica sets.

import type { MemberEvent } from "../core/replica_set.ts";
import { Broadcast, type Heard } from "../lib/broadcast.ts";
import type { PeerEvent } from "../peer/peer_event.ts";

/** Events that wait for a listener. */
const EVENTS_MAX = 1_024;

/** Something that has happened in the replica set of a channel. */
export type ChannelEvent = MemberEvent & { readonly channel: string; readonly incarnation: string };
export type NodeEvent = PeerEvent | ChannelEvent;

export class NodeEvents {
  readonly #broadcast = new Broadcast<NodeEvent>(EVENTS_MAX);
  readonly #over = new AbortController();

  publish(event: NodeEvent): void {
    this.#broadcast.publish(event);
  }

  /** What happens from now on; a listener that is too slow is told how many events it has missed. */
  from(signal?: AbortSignal): AsyncGenerator<Heard<NodeEvent>, void, undefined> {
    return this.#broadcast.subscribe(this.#over.signal, ...(signal ? [signal] : []));
  }

  /** No more events come. */
  end(): void {
    this.#over.abort();
  }
}
