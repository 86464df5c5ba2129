// Who is at the other end of a session that was accepted: a replica or another node. The first message tells, and whoever
// serves the session gets it as if nothing had been read.

import type { Clock } from "../core/environment.ts";
import { concatBytes } from "../lib/bytes.ts";
import { Lane, type LaneStream, type Session } from "../net/session.ts";
import { MESSAGE_HEADER_BYTES } from "../wire/message_header.ts";
import { MessageType } from "../wire/messages.ts";

/** Offset of the type in the header of a message. */
const TYPE_OFFSET = MESSAGE_HEADER_BYTES - 1;

export interface Opening {
  /** Whatever does not say peerHello is a replica, or is told what is wrong by whoever serves replicas. */
  readonly kind: "replica" | "peer";
  readonly session: Session;
}

/** Waits for the first message, at most until the handshake grace of `session` is over. Never rejects. */
export async function openingOf(
  session: Session,
  { clock, handshakeGraceMs }: { clock: Clock; handshakeGraceMs: number },
): Promise<Opening> {
  const control = session.lane(Lane.control);
  const reader = control.readable.getReader();
  reader.closed.catch(() => {});
  const peeked = new PeekedLane(reader);
  let cancel = () => {};
  const grace = new Promise<void>((resolve) => {
    cancel = clock.schedule(Math.max(0, session.acceptedMs + handshakeGraceMs - clock.monotonic()), resolve);
  });
  await Promise.race([peeked.header(), grace, session.closed]);
  cancel();
  const kind = peeked.type === MessageType.peerHello ? "peer" : "replica";
  return { kind, session: withControl(session, { readable: peeked.readable, writable: control.writable }) };
}

/** A lane of which the beginning was looked at. */
class PeekedLane {
  readonly readable: ReadableStream<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** What was read and is still to be given out. */
  #seen: Uint8Array = new Uint8Array(0);
  #reading: ReturnType<ReadableStreamDefaultReader<Uint8Array>["read"]> | undefined;

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
    this.readable = new ReadableStream<Uint8Array>({
      pull: (controller) => this.#pull(controller),
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  /** Type of the first message; undefined before it is known. */
  get type(): number | undefined {
    return this.#seen[TYPE_OFFSET];
  }

  /** Resolves once the type is known, or never will be. */
  async header(): Promise<void> {
    try {
      while (this.type === undefined) {
        this.#reading ??= this.#reader.read();
        const { done, value } = await this.#reading;
        if (done) return;
        this.#reading = undefined;
        this.#seen = concatBytes([this.#seen, value]);
      }
    } catch {
      // Whoever reads on is told.
    }
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    if (this.#seen.byteLength > 0) {
      controller.enqueue(this.#seen);
      this.#seen = new Uint8Array(0);
      return;
    }
    // What was begun for the header may still be under way.
    const reading = this.#reading ?? this.#reader.read();
    this.#reading = undefined;
    const { done, value } = await reading;
    if (done) controller.close();
    else controller.enqueue(value);
  }
}

/** `session` with another control lane; all else is its own. */
function withControl(session: Session, control: LaneStream): Session {
  return {
    transport: session.transport,
    side: session.side,
    peerAddress: session.peerAddress,
    acceptedMs: session.acceptedMs,
    ...(session.peerCertificate ? { peerCertificate: session.peerCertificate } : {}),
    datagrams: session.datagrams,
    closed: session.closed,
    lane: (lane) => lane === Lane.control ? control : session.lane(lane),
    laneBytes: (lane) => session.laneBytes(lane),
    close: (end) => session.close(end),
  };
}
