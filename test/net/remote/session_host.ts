// Sessions of this process or page, lent to a test elsewhere: what its RemoteSession asks for is done on the session here. Each
// call is one operation of the session's streams, and is answered when that has settled: nothing is held in between.

import type { Lane, Session } from "../../../src/net/session.ts";
import type { Rpc, RpcAnswer } from "./rpc.ts";

/** What a test is told of a session when it gets to know it. */
export interface SessionFacts {
  readonly id: number;
  readonly transport: Session["transport"];
  readonly side: Session["side"];
  readonly peerAddress: string;
  readonly acceptedMs: number;
}

/** A session, or a lane of it, as a call names it. */
export interface SessionPlace {
  readonly id: number;
  readonly lane: Lane;
}

interface HostedLane {
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly writer: WritableStreamDefaultWriter<Uint8Array>;
}

class HostedSession {
  readonly session: Session;
  readonly datagrams: ReadableStreamDefaultReader<Uint8Array>;
  readonly #lanes = new Map<Lane, HostedLane>();

  constructor(session: Session) {
    this.session = session;
    this.datagrams = session.datagrams.readable.getReader();
    this.datagrams.closed.catch(() => {});
  }

  lane(lane: Lane): HostedLane {
    const known = this.#lanes.get(lane);
    if (known) return known;
    const { readable, writable } = this.session.lane(lane);
    const opened = { reader: readable.getReader(), writer: writable.getWriter() };
    for (const promise of [opened.reader.closed, opened.writer.closed, opened.writer.ready]) promise.catch(() => {});
    this.#lanes.set(lane, opened);
    return opened;
  }
}

export class SessionHost {
  readonly #rpc: Rpc;
  readonly #sessions = new Map<number, HostedSession>();
  #lastId = 0;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
    rpc.handle({
      read: async (params) => answerOf(await this.#lane(params).reader.read()),
      cancel: (params) => this.#lane(params).reader.cancel().then(() => ({})),
      write: (params, bytes) => this.#lane(params).writer.write(bytes).then(() => ({})),
      abort: (params) => this.#lane(params).writer.abort((params as { reason?: unknown }).reason).then(() => ({})),
      closeLane: (params) => this.#lane(params).writer.close().then(() => ({})),
      readDatagram: async (params) => answerOf(await this.#hosted(params).datagrams.read()),
      sendDatagram: (params, bytes) => {
        this.#hosted(params).session.datagrams.send(bytes);
        return {};
      },
      close: (params) => {
        const { code, reason } = params as { code: string; reason: string };
        return this.#hosted(params).session.close({ code, reason }).then(() => ({}));
      },
      heldBytes: (params) => ({ result: heldBytes(this.#hosted(params).session, (params as SessionPlace).lane) }),
    });
  }

  /** Lends `session` and tells its end. */
  add(session: Session): SessionFacts {
    const id = ++this.#lastId;
    this.#sessions.set(id, new HostedSession(session));
    session.closed.then((end) => this.#rpc.tell("ended", { id, end }));
    const { transport, side, peerAddress, acceptedMs } = session;
    return { id, transport, side, peerAddress, acceptedMs };
  }

  #hosted(params: unknown): HostedSession {
    return this.#sessions.get((params as { id: number }).id)!;
  }

  #lane(params: unknown): HostedLane {
    return this.#hosted(params).lane((params as SessionPlace).lane);
  }
}

function answerOf({ done, value }: { readonly done: boolean; readonly value?: Uint8Array | undefined }): RpcAnswer {
  return value === undefined ? { result: { done } } : { result: { done }, bytes: value };
}

/** Bytes that `session` holds for `lane`; all sessions of Millrace can tell. */
function heldBytes(session: Session, lane: Lane): number {
  return (session as Session & { heldBytes(lane: Lane): number }).heldBytes(lane);
}
