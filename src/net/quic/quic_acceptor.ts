// From an incoming QUIC connection to a session: the part of a listener that is the same on every runtime.

import { messageOf } from "../../lib/message_of.ts";
import { assert } from "../../lib/assert.ts";
import type { Admitted, Refusal } from "../admission.ts";
import { encodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import { OpenSessions } from "../open_sessions.ts";
import type { StreamConnection } from "../stream_connection.ts";
import { StreamedSession, type StreamedSessionOptions } from "../streamed_session.ts";
import { TransportError } from "../transport_error.ts";
import type { QuicListenOptions } from "./quic.ts";

/** Who is at the other end, known only when the handshake is done. */
export type QuicPeer = Pick<StreamedSessionOptions, "peerAddress" | "peerCertificate">;

/** A connection whose handshake is under way. */
export interface QuicHandshake {
  readonly connection: StreamConnection;
  /** Rejects where the handshake fails, or shows a peer that must not come in. */
  readonly peer: Promise<QuicPeer>;
}

/** A connection that has sent its first packet. One of the two is called, once. */
export interface IncomingQuic {
  /** Turns it away before the handshake costs anything. */
  refuse(): void;
  accept(): QuicHandshake;
}

export class QuicAcceptor {
  readonly #options: QuicListenOptions;
  readonly #sessions = new OpenSessions();
  readonly #handshakes = new Set<StreamConnection>();
  #isClosing = false;

  constructor(options: QuicListenOptions) {
    this.#options = options;
  }

  get sessionCount(): number {
    return this.#sessions.count;
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Lets `incoming` in if there is a place for it. The address is not known before the handshake, on Bun and on Deno. */
  accept(incoming: IncomingQuic): void {
    const place = this.#isClosing ? undefined : this.#options.admission.admit();
    if (place === undefined || "refusal" in place) return incoming.refuse();
    try {
      this.#shakeHands(incoming.accept(), place.admitted);
    } catch {
      // What came was no handshake after all.
      place.admitted.release();
    }
  }

  /** Ends what is under way and all sessions; resolves once they are released. False where it was called before. */
  async close(): Promise<boolean> {
    if (this.#isClosing) return false;
    this.#isClosing = true;
    const end = { code: "going-away", reason: "the listener is closing" };
    for (const connection of this.#handshakes) turnAway(connection, end);
    await this.#sessions.close(end);
    return true;
  }

  async #shakeHands({ connection, peer }: QuicHandshake, admitted: Admitted): Promise<void> {
    const { limits, environment } = this.#options;
    const acceptedMs = environment.clock.monotonic();
    peer.catch(() => {});
    this.#handshakes.add(connection);
    connection.closed.then(admitted.release, admitted.release);
    let isLate = false;
    const cancelTimer = environment.clock.schedule(limits.handshakeGraceMs, () => {
      isLate = true;
      turnAway(connection, { code: "handshake-timeout", reason: `no handshake within ${limits.handshakeGraceMs} ms` });
    });
    try {
      const found = await peer;
      // On Deno a handshake that was cut off looks like one that is done (2.9.6).
      if (isLate) throw new TransportError("timeout", `no handshake within ${limits.handshakeGraceMs} ms`);
      this.#open(connection, { ...found, acceptedMs, admitted });
    } catch (error) {
      // A handshake that fails is the peer's affair: a wrong certificate, another protocol, a connection that went away.
      turnAway(connection, { code: "refused", reason: messageOf(error) });
      admitted.release();
    } finally {
      cancelTimer();
      admitted.opened();
      this.#handshakes.delete(connection);
    }
  }

  #open(
    connection: StreamConnection,
    { admitted, acceptedMs, ...peer }: QuicPeer & { acceptedMs: number; admitted: Admitted },
  ): void {
    const refusal: Refusal | undefined = admitted.located(peer.peerAddress);
    if (refusal) return turnAway(connection, refusal);
    assert(!this.#isClosing, "a listener that closes has ended its handshakes");
    const { limits, environment, budget, onSession } = this.#options;
    const session = new StreamedSession({
      ...peer,
      connection,
      transport: "quic",
      side: "server",
      limits,
      environment,
      budget,
      acceptedMs,
    });
    this.#sessions.add(session);
    onSession(session);
  }
}

function turnAway(connection: StreamConnection, end: { code: string; reason: string }): void {
  connection.close({ closeCode: SESSION_CLOSE_CODE, reason: encodeCloseReason(end) });
}
