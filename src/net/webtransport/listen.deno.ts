// WebTransport on Deno, natively: a QUIC endpoint whose connections are upgraded. Needs --unstable-net.

import { assert } from "../../lib/assert.ts";
import type { Admitted } from "../admission.ts";
import { SESSION_CLOSE_CODE } from "../close_reason.ts";
import { listenerUrl } from "../listener.ts";
import type { StreamConnection } from "../stream_connection.ts";
import { TransportError } from "../transport_error.ts";
import type { WebTransportBackend } from "./backend.ts";
import type { Capability } from "../capability.ts";
import { openQuicEndpoint } from "../quic_endpoint.deno.ts";
import { connectCapability } from "./capability.ts";
import type { ListenerCertificate, WebTransportListener, WebTransportListenOptions } from "./listen_options.ts";
import { dialNative } from "./native_backend.ts";
import { SessionGate } from "./session_gate.ts";

/** Streams a client may open: its lanes, and some more so that one too many is refused by name instead of stalling. */
const STREAMS_MAX = 8;

/** Whether this runtime can accept WebTransport sessions by itself. May be asked on any runtime. */
export function listenCapability(): Capability {
  const { Deno } = globalThis as { Deno?: { QuicEndpoint?: unknown; upgradeWebTransport?: unknown } };
  if (typeof Deno?.QuicEndpoint === "function" && typeof Deno.upgradeWebTransport === "function") {
    return { isSupported: true };
  }
  const reason = Deno
    ? "no Deno.QuicEndpoint: needs Deno started with --unstable-net"
    : "not on this runtime, needs Deno";
  return { isSupported: false, reason };
}

/** WebTransport as Deno has it: HTTP/3, certificates change in place. */
export function denoBackend(): WebTransportBackend {
  return {
    name: "deno",
    http: "h3",
    listening: listenCapability(),
    connecting: connectCapability(),
    certificateReplacement: "in place",
    listen: listenWebTransport,
    dial: dialNative,
  };
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
  readonly http = "h3";
  readonly #options: WebTransportListenOptions;
  readonly #endpoint: Deno.QuicEndpoint;
  readonly #gate: SessionGate;
  /** The first accepts for all of them; the later ones are there for their certificates. */
  readonly #listeners: Deno.QuicListener[] = [];

  constructor(options: WebTransportListenOptions) {
    this.#options = options;
    this.#gate = new SessionGate(options);
    this.host = options.host;
    this.#endpoint = openQuicEndpoint(options);
    this.port = this.#endpoint.addr.port;
    this.url = listenerUrl("https", this.host, this.port);
    this.replaceCertificate(options.certificate);
    this.#acceptAll(this.#listeners[0]!);
  }

  get sessionCount(): number {
    return this.#gate.sessionCount;
  }

  /**
   * Listening again on the same endpoint replaces the certificate of all handshakes that follow, and all listeners of an
   * endpoint take from one queue. Stopping any of them stops the accepting altogether, so the earlier ones are kept (seen on
   * Deno 2.9.6; a listener is a handle of a few bytes, and certificates change every few days).
   */
  replaceCertificate(certificate: ListenerCertificate): void {
    assert(!this.#gate.isClosing, "a listener that closes gets no new certificate");
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
    if (this.#gate.isClosing) return await this.#gate.close();
    this.#listeners[0]!.stop();
    await this.#gate.close();
    this.#endpoint.close({ closeCode: 0, reason: "" });
  }

  async #acceptAll(listener: Deno.QuicListener): Promise<void> {
    try {
      for await (const incoming of listener) {
        // The address is known later: on Deno 2.9.6 an incoming connection that was asked for it can no longer be accepted.
        const place = this.#gate.isClosing ? undefined : this.#options.admission.admit();
        if (place === undefined || "refusal" in place) incoming.refuse();
        else this.#accept(incoming, place.admitted);
      }
    } catch (error) {
      if (!this.#gate.isClosing) this.#options.onError(error);
    }
  }

  async #accept(incoming: Deno.QuicIncoming, admitted: Admitted): Promise<void> {
    const { limits, environment } = this.#options;
    let connection: Deno.QuicConn | undefined;
    const acceptedMs = environment.clock.monotonic();
    let isLate = false;
    const cancelTimer = environment.clock.schedule(limits.handshakeGraceMs, () => {
      isLate = true;
      connection?.close({ closeCode: SESSION_CLOSE_CODE, reason: "handshake-timeout" });
    });
    try {
      // `zeroRtt` gives the connection before its handshake is over, so that it can be closed when the grace ends.
      const shaking = incoming.accept({ zeroRtt: true });
      connection = shaking;
      shaking.closed.then(admitted.release, admitted.release);
      // It also resolves when the connection is closed before it is shaken (seen on Deno 2.9.6).
      await shaking.handshake;
      if (isLate) throw new TransportError("timeout", `no handshake within ${limits.handshakeGraceMs} ms`);
      const { hostname: peerAddress } = connection.remoteAddr;
      if (admitted.located(peerAddress)) throw new TransportError("refused", "no place for a session now");
      const transport = await Deno.upgradeWebTransport(connection);
      transport.closed.catch(() => {});
      transport.ready.catch(() => {});
      const url = new URL(transport.url);
      this.#gate.enter(transport as unknown as StreamConnection, { url, peerAddress, acceptedMs });
    } catch {
      // A handshake that fails is the peer's affair: a wrong certificate hash, a scanner, a connection that went away.
      connection?.close({ closeCode: 0, reason: "" });
      admitted.release();
    } finally {
      cancelTimer();
      admitted.opened();
    }
  }
}
