import type { Socket } from "node:net";
import type { Environment } from "../../core/environment.ts";
import type { MessageSocketEvents } from "../message_socket.ts";
import { MultiplexedSession } from "../multiplexed_session.ts";
import type { Session, SessionEnd, SessionLimits } from "../session.ts";
import type { PeerCertificate } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";
import { FrameSocket, tune } from "./frame_socket.node.ts";
import { WELCOME_KIND } from "./mapping.ts";
import { WriteBatch } from "./write_batch.ts";

export interface AwaitWelcomeOptions {
  readonly url: string;
  readonly transport: "tls" | "tcp";
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal?: AbortSignal;
  /** Begins to connect. */
  readonly connect: () => Socket;
  /** The event of the socket after which it is of use. */
  readonly readyEvent: "connect" | "secureConnect";
  /**
   * The server's certificate; throws unless it may be spoken to. Called once the socket is of use, before anything is sent or
   * believed.
   */
  readonly verify?: (socket: Socket) => PeerCertificate | undefined;
}

/** A session over a new connection, once the server has let it in. Rejects, and leaves nothing behind, where it does not. */
export async function awaitWelcome(options: AwaitWelcomeOptions): Promise<Session> {
  options.signal?.throwIfAborted();
  const waiting = new WelcomeWait(options);
  try {
    return await waiting.session;
  } finally {
    waiting.settle();
  }
}

class WelcomeWait implements MessageSocketEvents {
  readonly session: Promise<Session>;
  readonly #options: AwaitWelcomeOptions;
  readonly #socket: Socket;
  readonly #frames: FrameSocket;
  readonly #cancelTimer: () => void;
  readonly #begunMs: number;
  #resolve!: (session: Session) => void;
  #reject!: (reason: unknown) => void;
  #isTrusted = false;
  #peerCertificate: PeerCertificate | undefined;
  #error: (Error & { code?: string }) | undefined;

  constructor(options: AwaitWelcomeOptions) {
    const { url, limits, environment: { clock }, signal } = options;
    this.#options = options;
    this.session = new Promise((resolve, reject) => [this.#resolve, this.#reject] = [resolve, reject]);
    this.#begunMs = clock.monotonic();
    this.#socket = options.connect();
    this.#socket.on("error", (error) => this.#error ??= error);
    this.#socket.once(options.readyEvent, () => this.#ready());
    const batch = new WriteBatch({ largestMessages: 1 });
    this.#frames = new FrameSocket({ socket: this.#socket, peerAddress: new URL(url).host, batch, limits, clock });
    this.#frames.attach(this);
    this.#cancelTimer = clock.schedule(limits.handshakeGraceMs, () => {
      this.#giveUp(new TransportError("timeout", `no session with ${url} within ${limits.handshakeGraceMs} ms`));
    });
    signal?.addEventListener("abort", this.#abandon, { once: true });
  }

  /** Lets go of timer and signal. */
  settle(): void {
    this.#cancelTimer();
    this.#options.signal?.removeEventListener("abort", this.#abandon);
  }

  received(message: Uint8Array): void {
    const { url, transport, limits, environment } = this.#options;
    if (!this.#isTrusted || message.byteLength !== 1 || message[0] !== WELCOME_KIND) {
      return this.#giveUp(new TransportError("violation", `${url} does not begin with a welcome`));
    }
    const session = new MultiplexedSession({
      socket: this.#frames,
      transport,
      side: "client",
      limits,
      environment,
      acceptedMs: this.#begunMs,
      ...(this.#peerCertificate ? { peerCertificate: this.#peerCertificate } : {}),
    });
    this.#frames.attach(session);
    this.#resolve(session);
  }

  drained(): void {}

  ended(end: SessionEnd): void {
    const { url } = this.#options;
    const cause = this.#error;
    if (end.by === "local") {
      return this.#giveUp(new TransportError("violation", `${url} breaks the rules: ${end.reason}`));
    }
    if (end.by === "remote") {
      return this.#giveUp(new TransportError("refused", `${url} turned us away: ${end.code} ${end.reason}`.trimEnd()));
    }
    const code = cause?.code === "ETIMEDOUT" ? "timeout" : "refused";
    this.#giveUp(new TransportError(code, `no session with ${url}: ${textOfError(cause) ?? end.reason}`, { cause }));
  }

  #ready(): void {
    try {
      this.#peerCertificate = this.#options.verify?.(this.#socket);
    } catch (error) {
      return this.#giveUp(error);
    }
    tune(this.#socket);
    this.#isTrusted = true;
  }

  #abandon = (): void => this.#giveUp(this.#options.signal!.reason);

  #giveUp(reason: unknown): void {
    this.#reject(reason);
    this.#socket.destroy();
  }
}

/** Errors of TLS carry lines of their library's inner places; the code says the same. */
function textOfError(error: (Error & { code?: string }) | undefined): string | undefined {
  return error?.code?.startsWith("ERR_SSL") ? error.code : error?.message;
}
