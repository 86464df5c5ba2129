import type { Socket } from "node:net";
import type { Admitted, Refusal } from "../admission.ts";
import type { ListenOptions } from "../listener.ts";
import { MultiplexedSession } from "../multiplexed_session.ts";
import { OpenSessions } from "../open_sessions.ts";
import type { PeerCertificate } from "../tls_identity.ts";
import { FrameSocket, tune } from "./frame_socket.node.ts";
import { encodeClose, framed, WELCOME_MESSAGE } from "./mapping.ts";
import { WriteBatch } from "./write_batch.ts";

const GOING_AWAY = { code: "going-away", reason: "the listener is closing" };

/** A connection that has a place and is not a session yet. */
export interface Arrival {
  readonly peerAddress: string;
  readonly admitted: Admitted;
  readonly acceptedMs: number;
}

/** What the listeners of TLS and TCP have in common: connections come in, sessions come out, and all of them can be ended. */
export class SocketGate {
  readonly #options: ListenOptions;
  readonly #transport: "tls" | "tcp";
  readonly #batch = new WriteBatch({ largestMessages: 4 });
  readonly #sessions = new OpenSessions();
  /** Every connection that was accepted and is not gone, below TLS. */
  readonly #sockets = new Set<Socket>();
  #isClosing = false;

  constructor(options: ListenOptions, transport: "tls" | "tcp") {
    this.#options = options;
    this.#transport = transport;
  }

  /** Asks for a place for a connection that was just accepted. */
  admit(socket: Socket): Arrival | Refusal {
    const peerAddress = socket.remoteAddress ?? "";
    socket.on("error", () => socket.destroy());
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    const place = this.#options.admission.admit(peerAddress);
    if ("refusal" in place) return place.refusal;
    const { admitted } = place;
    socket.once("close", admitted.release);
    tune(socket);
    return { peerAddress, admitted, acceptedMs: this.#options.environment.clock.monotonic() };
  }

  /** The connection's handshake is over: it becomes a session. */
  open(socket: Socket, arrival: Arrival, peerCertificate?: PeerCertificate): void {
    if (this.#isClosing) return turnAway(socket, GOING_AWAY);
    const { limits, environment, budget } = this.#options;
    const { peerAddress, acceptedMs, admitted } = arrival;
    const frames = new FrameSocket({ socket, peerAddress, batch: this.#batch, limits, clock: environment.clock });
    admitted.opened();
    frames.send(WELCOME_MESSAGE);
    const session = new MultiplexedSession({
      socket: frames,
      transport: this.#transport,
      side: "server",
      limits,
      environment,
      budget,
      acceptedMs,
      ...(peerCertificate ? { peerCertificate } : {}),
    });
    frames.attach(session);
    this.#sessions.add(session);
    this.#options.onSession(session);
  }

  /** Ends all connections, those of sessions in order. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#sessions.close(GOING_AWAY);
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Tells the peer why it gets no session. Costs one write, and nothing waits for the peer. */
export function turnAway(socket: Socket, why: { code: string; reason: string }): void {
  socket.end(framed(encodeClose(why)), () => socket.destroy());
}
