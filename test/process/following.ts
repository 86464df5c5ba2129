// A replica of one channel as a program keeps it: a connection that comes back by itself, a store, what happened.

import type { LogStore } from "../../src/log/log_store.ts";
import { Connector } from "../../src/net/connect/connect.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { environment } from "../../src/server/environment.node.ts";
import { Connection, type ConnectionState } from "../../src/stream/connection.ts";
import { Replica, type ReplicaEvent } from "../../src/stream/replica.ts";
import { entriesOf, type Entry } from "../../src/wire/frame.ts";
import { eventually } from "./waiting.ts";

export interface FollowingOptions {
  readonly url: string;
  readonly channel: string;
  /** Where the copy is kept; it stays open when the following ends. */
  readonly store: LogStore;
  readonly transport?: "websocket" | "webtransport";
}

export class Following {
  readonly replica: Replica;
  readonly connection: Connection;
  readonly states: ConnectionState[] = [];
  readonly events: ReplicaEvent[] = [];

  constructor({ url, channel, store, transport = "websocket" }: FollowingOptions) {
    this.replica = new Replica({
      channel,
      openLog: (incarnation) => store.open(incarnation),
      environment,
      entryBytesMax: 8 << 20,
      onEvent: (event) => this.events.push(event),
    });
    const connector = new Connector(url, { transports: [transport], limits: SESSION_LIMITS, environment });
    this.connection = new Connection({
      connect: async (signal) => (await connector.connect(signal)).session,
      hello: { kind: "program", id: "following", agent: "test", token: "" },
      environment,
      handshakeGraceMs: SESSION_LIMITS.handshakeGraceMs,
      onState: (state) => this.states.push(state),
    });
    this.connection.follow(this.replica);
  }

  /** Sessions that were opened so far. */
  get sessionCount(): number {
    return this.states.filter(({ kind }) => kind === "connected").length;
  }

  /** Waits until entry `seq` is synced in the copy. */
  async reached(seq: number, deadlineMs?: number): Promise<void> {
    const failed = () => this.events.find(({ kind }) => kind === "failed");
    await eventually(
      `the replica has entry ${seq}`,
      () => this.replica.synced.value >= seq || failed() !== undefined ? true : undefined,
      deadlineMs,
    );
    if (this.replica.synced.value < seq) throw new Error(`the replica failed: ${JSON.stringify(failed())}`);
  }

  /** All entries of the copy. */
  async entries(): Promise<Entry[]> {
    const log = this.replica.log!;
    const cursor = log.cursor(log.firstSeq);
    const entries: Entry[] = [];
    for (;;) {
      const slice = await cursor.read({ upTo: log.synced.value, bytesMax: 1 << 20 });
      if (!slice) break;
      entries.push(...entriesOf(slice.bytes));
    }
    cursor.close();
    return entries;
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}
