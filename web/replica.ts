// A replica of one channel in a browser tab. First form: the copy is in memory, bounded, and begins where the page asks.

import type { Log } from "../src/log/log_store.ts";
import { MemoryStore } from "../src/log/memory_store.ts";
import { Connector } from "../src/net/connect/connect.ts";
import { SESSION_LIMITS } from "../src/net/session.ts";
import { Connection, type ConnectionState } from "../src/stream/connection.ts";
import { Replica, type ReplicaEvent } from "../src/stream/replica.ts";
import { replicaSlices } from "../src/stream/replica_entries.ts";
import { entriesOf, type Entry, EntryType } from "../src/wire/frame.ts";
import { environment } from "./environment.web.ts";

/** Bytes of entries that a tab keeps; the oldest make room for new ones. */
const KEPT_BYTES_MAX = 64 << 20;
/** Largest entry that a tab takes. */
const ENTRY_BYTES_MAX = 64 << 20;
/** Transport problems that are remembered for the status. */
const FALLBACKS_MAX = 8;

export interface OpenReplicaOptions {
  /**
   * HTTP address of the node; default: where the page came from. Of several nodes of a cluster the first that is reached feeds
   * this copy, and when it is lost another one goes on where the copy ends.
   */
  readonly url?: string | readonly string[];
  readonly channel: string;
  /** Capability token, if the node asks for one. */
  readonly token?: string;
  /** First entry of the copy; default: the oldest that the node keeps. */
  readonly from?: number;
  /** Transports that may be used, the preferred one first. */
  readonly transports?: readonly ("webtransport" | "websocket")[];
}

export interface ReplicaStatus {
  /** Identity of this copy, by which the node lists it. */
  readonly id: string;
  readonly connection: ConnectionState["kind"];
  /** Why it is not connected, or what the node refused. */
  readonly reason: string;
  readonly transport: string | null;
  /** Why a preferred transport is not in use. */
  readonly fallbacks: readonly string[];
  readonly incarnation: string;
  readonly firstSeq: number;
  /** Highest entry of this copy. */
  readonly syncedSeq: number;
  /** Highest entry that is committed, as far as is known. */
  readonly commit: number;
  readonly lagEntries: number;
  /** Chain checksum of the copy's prefix: equal to the node's for the same `syncedSeq`. */
  readonly chain: string;
  readonly persistence: "memory";
}

export interface BrowserReplica extends AsyncDisposable {
  readonly status: ReplicaStatus;
  /** Data entries from the local copy, then as they come; ends when the replica is closed or `signal` aborts. */
  entries(options?: { from?: number; signal?: AbortSignal }): AsyncGenerator<Entry>;
  /** The same, in the batches in which they come: for pages that draw many. */
  batches(options?: { from?: number; signal?: AbortSignal }): AsyncGenerator<Entry[]>;
  close(): Promise<void>;
}

/** Opens a replica of a channel. It connects, reconnects and catches up by itself until closed. */
export function openReplica(options: OpenReplicaOptions): Promise<BrowserReplica> {
  return Promise.resolve(options).then((options) => new TabReplica(options));
}

class TabReplica implements BrowserReplica {
  readonly #store = new MemoryStore({ crc32: environment.crc32, bytesMax: KEPT_BYTES_MAX });
  readonly #closing = new AbortController();
  readonly #connection: Connection;
  readonly #replica: Replica;
  readonly #fallbacks: string[] = [];
  readonly #id = tabId();
  #refusal = "";

  constructor({ url = location.origin, channel, token = "", from = 0, transports }: OpenReplicaOptions) {
    this.#replica = new Replica({
      channel,
      from,
      openLog: (incarnation, after) => this.#store.open(incarnation, { after }),
      environment,
      entryBytesMax: ENTRY_BYTES_MAX,
      onEvent: (event) => this.#noteEvent(event),
    });
    const connector = new Connector(url, {
      transports: transports ?? preferredTransports(),
      limits: SESSION_LIMITS,
      environment,
      onFallback: (transport, reason) => this.#noteFallback(`${transport}: ${reason}`),
    });
    this.#connection = new Connection({
      connect: async (signal) => (await connector.connect(signal)).session,
      hello: { kind: "browser", id: this.#id, agent: navigator.userAgent.slice(0, 200), token },
      environment,
      handshakeGraceMs: SESSION_LIMITS.handshakeGraceMs,
    });
    this.#connection.follow(this.#replica);
  }

  get status(): ReplicaStatus {
    const { state } = this.#connection;
    const log: Log | undefined = this.#replica.log;
    return {
      id: this.#id,
      connection: state.kind,
      reason: this.#refusal || ("reason" in state ? state.reason : ""),
      transport: state.kind === "connected" ? state.transport : null,
      fallbacks: this.#fallbacks,
      incarnation: this.#replica.incarnation,
      firstSeq: log?.firstSeq ?? 0,
      syncedSeq: this.#replica.synced.value,
      commit: Math.max(this.#replica.commit, this.#replica.synced.value),
      lagEntries: this.#replica.lagEntries,
      chain: (log?.tail.chain ?? 0).toString(16).padStart(8, "0"),
      persistence: "memory",
    };
  }

  async *entries(options: { from?: number; signal?: AbortSignal } = {}): AsyncGenerator<Entry> {
    for await (const batch of this.batches(options)) yield* batch;
  }

  async *batches({ from = 0, signal }: { from?: number; signal?: AbortSignal } = {}): AsyncGenerator<Entry[]> {
    const until = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    try {
      for await (const { bytes } of replicaSlices(this.#replica, from, until)) {
        const batch = [...entriesOf(bytes)].filter((entry) => entry.type === EntryType.data);
        if (batch.length > 0) yield batch;
      }
    } catch (error) {
      if (!until.aborted) throw error;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#connection.close();
    await this.#store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #noteEvent(event: ReplicaEvent): void {
    if (event.kind === "streaming") this.#refusal = "";
    if (event.kind === "waiting") this.#refusal = event.reason;
    if (event.kind === "failed") this.#refusal = `${event.code}: ${event.detail}`;
  }

  #noteFallback(reason: string): void {
    if (this.#fallbacks.at(-1) === reason) return;
    this.#fallbacks.push(reason);
    if (this.#fallbacks.length > FALLBACKS_MAX) this.#fallbacks.shift();
  }
}

/** Safari's WebTransport stalls near 16 MiB (https://github.com/moq-dev/moq/issues/2388), so it begins with WebSocket. */
function preferredTransports(): readonly ("webtransport" | "websocket")[] {
  const safari = /^((?!chrome|android).)*safari/i.test(navigator.userAgent);
  return safari ? ["websocket"] : ["webtransport", "websocket"];
}

/** Identity of this tab, kept while it lives. */
function tabId(): string {
  const hex = Array.from(environment.random.bytes(16), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `tab-${hex}`;
}
