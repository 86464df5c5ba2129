// WebTransport on Deno, natively: a QUIC endpoint whose connections are upgraded. Needs --unstable-net.

import type { Environment } from "../../core/environment.ts";
import { assert } from "../../lib/assert.ts";
import { encodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import { OpenSessions } from "../open_sessions.ts";
import type { Session, SessionLimits } from "../session.ts";
import { SESSION_PATH } from "../session_endpoint.ts";
import { TransportError } from "../transport_error.ts";
import type { Capability } from "./capability.ts";
import type { WebTransportLike } from "./web_transport_like.ts";
import { WebTransportSession } from "./webtransport_session.ts";

/** A certificate chain and its private key in PEM. */
export interface ListenerCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface WebTransportListenOptions {
  readonly host: string;
  /** UDP port; 0 lets the system choose. */
  readonly port: number;
  readonly certificate: ListenerCertificate;
  /** Judges a session by its URL and address; `undefined` accepts it. There are no headers to judge by: Deno gives none. */
  readonly acceptSession: (url: URL, info: { peerAddress: string }) => { code: string; reason: string } | undefined;
  /** Gets each session at once; its lanes appear as the client opens them. */
  readonly onSession: (session: Session) => void;
  readonly limits: SessionLimits;
  readonly environment: Environment;
  /** Told what goes wrong in the background and is not the fault of one peer. */
  readonly onError: (error: unknown) => void;
}

/** A listener for WebTransport on one UDP port. */
export interface WebTransportListener {
  readonly host: string;
  readonly port: number;
  /** `https://host:port` */
  readonly url: string;
  readonly sessionCount: number;
  /** New connections get `certificate` from now on; sessions that are open go on undisturbed. */
  replaceCertificate(certificate: ListenerCertificate): void;
  /** Stops listening, ends all sessions and resolves once they are gone. */
  close(): Promise<void>;
}

/** Connections whose handshake is not finished; more are ignored, as a client tries again by itself. */
const HANDSHAKES_MAX = 1024;

/** Streams a client may open: its lanes, and some more so that one too many is refused by name instead of stalling. */
const STREAMS_MAX = 8;

/** A client that is not ready yet when it is turned away learns no reason ("Bad resource ID" on Deno), so it is given time. */
const REFUSAL_LINGER_MS = 100;

/** Whether this runtime can accept WebTransport sessions. May be asked on any runtime. */
export function listenCapability(): Capability {
  const { Deno } = globalThis as { Deno?: { QuicEndpoint?: unknown; upgradeWebTransport?: unknown } };
  if (typeof Deno?.QuicEndpoint === "function" && typeof Deno.upgradeWebTransport === "function") {
    return { isSupported: true };
  }
  const reason = Deno
    ? "no Deno.QuicEndpoint: needs Deno started with --unstable-net"
    : "no server for WebTransport in this runtime: needs Deno; Bun and Node need a backend package";
  return { isSupported: false, reason };
}

/** Listens for WebTransport. Throws TransportError `unsupported` elsewhere than on Deno, `refused` where the port is taken. */
// deno-lint-ignore require-await -- listeners of other runtimes take a turn
export async function listenWebTransport(options: WebTransportListenOptions): Promise<WebTransportListener> {
  const capability = listenCapability();
  if (!capability.isSupported) throw new TransportError("unsupported", capability.reason);
  return new DenoListener(options);
}

class DenoListener implements WebTransportListener {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  readonly #options: WebTransportListenOptions;
  readonly #endpoint: Deno.QuicEndpoint;
  readonly #sessions = new OpenSessions();
  /** The first accepts for all of them; the later ones are there for their certificates. */
  readonly #listeners: Deno.QuicListener[] = [];
  #handshakeCount = 0;
  #isClosing = false;

  constructor(options: WebTransportListenOptions) {
    this.#options = options;
    this.host = options.host;
    try {
      this.#endpoint = new Deno.QuicEndpoint({ hostname: options.host, port: options.port });
    } catch (cause) {
      throw new TransportError("refused", `cannot listen on UDP ${options.host}:${options.port}`, { cause });
    }
    this.port = this.#endpoint.addr.port;
    this.url = `https://${this.host.includes(":") ? `[${this.host}]` : this.host}:${this.port}`;
    this.replaceCertificate(options.certificate);
    this.#acceptAll(this.#listeners[0]!);
  }

  get sessionCount(): number {
    return this.#sessions.count;
  }

  /**
   * Listening again on the same endpoint replaces the certificate of all handshakes that follow, and all listeners of an
   * endpoint take from one queue. Stopping any of them stops the accepting altogether, so the earlier ones are kept (seen on
   * Deno 2.9.6; a listener is a handle of a few bytes, and certificates change every few days).
   */
  replaceCertificate(certificate: ListenerCertificate): void {
    assert(!this.#isClosing, "a listener that closes gets no new certificate");
    const { limits } = this.#options;
    this.#listeners.push(this.#endpoint.listen({
      ...certificate,
      alpnProtocols: ["h3"],
      // The last resort: the session's own idle timer comes first.
      maxIdleTimeout: limits.idleTimeoutMs * 2,
      keepAliveInterval: Math.max(1000, limits.idleTimeoutMs / 3),
      maxConcurrentBidirectionalStreams: STREAMS_MAX,
    }));
  }

  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#listeners[0]!.stop();
    await this.#sessions.close({ code: "going-away", reason: "the listener is closing" });
    this.#endpoint.close({ closeCode: 0, reason: "" });
  }

  async #acceptAll(listener: Deno.QuicListener): Promise<void> {
    try {
      for await (const incoming of listener) {
        if (this.#isClosing || this.#handshakeCount >= HANDSHAKES_MAX) incoming.ignore();
        else this.#accept(incoming);
      }
    } catch (error) {
      if (!this.#isClosing) this.#options.onError(error);
    }
  }

  async #accept(incoming: Deno.QuicIncoming): Promise<void> {
    const { limits, environment } = this.#options;
    let connection: Deno.QuicConn | undefined;
    this.#handshakeCount++;
    const cancelTimer = environment.clock.schedule(limits.handshakeGraceMs, () => {
      connection?.close({ closeCode: SESSION_CLOSE_CODE, reason: "handshake-timeout" });
    });
    try {
      connection = await incoming.accept();
      connection.closed.catch(() => {});
      const transport = await Deno.upgradeWebTransport(connection);
      this.#open(transport as unknown as WebTransportLike, new URL(transport.url), connection.remoteAddr.hostname);
    } catch {
      // A handshake that fails is the peer's affair: a wrong certificate hash, a scanner, a connection that went away.
      connection?.close({ closeCode: 0, reason: "" });
    } finally {
      cancelTimer();
      this.#handshakeCount--;
    }
  }

  #open(transport: WebTransportLike, url: URL, peerAddress: string): void {
    transport.closed.catch(() => {});
    transport.ready.catch(() => {});
    const { limits, environment, acceptSession, onSession } = this.#options;
    const refusal = url.pathname === SESSION_PATH
      ? acceptSession(url, { peerAddress })
      : { code: "not-found", reason: `sessions are at ${SESSION_PATH}` };
    if (refusal || this.#isClosing) {
      const end = refusal ?? { code: "going-away", reason: "the listener is closing" };
      environment.clock.schedule(REFUSAL_LINGER_MS, () => {
        transport.close({ closeCode: SESSION_CLOSE_CODE, reason: encodeCloseReason(end) });
      });
      return;
    }
    const session = new WebTransportSession({ transport, side: "server", peerAddress, limits, environment });
    this.#sessions.add(session);
    onSession(session);
  }
}
