// WebTransport over HTTP/3 by @fails-components/webtransport with its native part (quiche), for browsers and programs alike. It
// is written to the package's documented interface. Streams bring bytes whether or not they are read, so they are always
// drained, and a peer that sends far more than it was granted is turned out. A certificate needs a port of its own.

import { randomBytes } from "node:crypto";
import type { Admitted } from "../admission.ts";
import { SESSION_PATH } from "../session_endpoint.ts";
import type { BidirectionalStream, StreamConnection } from "../stream_connection.ts";
import { TransportError } from "../transport_error.ts";
import type { DialOptions, WebTransportBackend } from "./backend.ts";
import {
  cancellable,
  type FailsPackage,
  type FailsServer,
  type FailsSession,
  type LoadedFails,
} from "./fails_package.node.ts";
import type { ListenerCertificate, WebTransportListener, WebTransportListenOptions } from "./listen_options.ts";
import { type Endpoint, RotatingListener } from "./rotating_listener.ts";
import { SessionGate } from "./session_gate.ts";

/** What a peer may send of one lane before it is read. Log bytes are granted by credit, all other lanes carry messages of little size. */
const UNREAD_BYTES_MAX = 16 << 20;

const WINDOWS = { initialStreamFlowControlWindow: 1 << 20, initialSessionFlowControlWindow: 8 << 20 };

export function failsH3Backend(loaded: LoadedFails): WebTransportBackend {
  return {
    name: "fails",
    http: "h3",
    listening: loaded.h3,
    connecting: loaded.h3,
    certificateReplacement: "next port",
    listen: (options) => listen(needed(loaded), options),
    dial: (options) => dial(needed(loaded), options),
  };
}

function needed({ package: loaded, h3 }: LoadedFails): FailsPackage {
  if (loaded && h3.isSupported) return loaded;
  throw new TransportError("unsupported", h3.isSupported ? "the package is not loaded" : h3.reason);
}

function dial({ WebTransport }: FailsPackage, options: DialOptions): StreamConnection {
  const { url, certificateHashes, limits: { handshakeGraceMs } } = options;
  const hashes = certificateHashes.map((value) => ({ algorithm: "sha-256", value }));
  const transport = new WebTransport(url.href, {
    ...(hashes.length > 0 ? { serverCertificateHashes: hashes } : {}),
    ...WINDOWS,
    // Else it may fall back to HTTP/2, whose connections need more care than is taken here.
    requireUnreliable: true,
    quicConnectTimeout: handshakeGraceMs,
    webTransportConnectTimeout: handshakeGraceMs,
  });
  return connectionOf(transport.sessionint);
}

async function listen(loaded: FailsPackage, options: WebTransportListenOptions): Promise<WebTransportListener> {
  const gate = new SessionGate(options);
  const bind = (certificate: ListenerCertificate, port: number) =>
    QuicheEndpoint.open(loaded, { certificate, port, options, gate });
  return await RotatingListener.open(bind, { options, gate });
}

interface Binding {
  readonly certificate: ListenerCertificate;
  readonly port: number;
  readonly options: WebTransportListenOptions;
  readonly gate: SessionGate;
}

/** What goes with a request to the session it becomes. */
interface Claim {
  readonly admitted: Admitted;
  readonly acceptedMs: number;
  readonly cancelTimer: () => void;
}

class QuicheEndpoint implements Endpoint {
  readonly port: number;
  readonly #server: FailsServer;
  readonly #binding: Binding;
  #sessionCount = 0;
  #isRetired = false;
  #isStopped = false;

  static async open(loaded: FailsPackage, binding: Binding): Promise<QuicheEndpoint> {
    const { certificate, port, options: { host } } = binding;
    const server = new loaded.Http3Server({
      host,
      port,
      secret: randomBytes(32).toString("hex"),
      cert: certificate.cert,
      privKey: certificate.key,
      ...WINDOWS,
    });
    const opened: { endpoint?: QuicheEndpoint } = {};
    server.setRequestCallback((request) =>
      Promise.resolve(opened.endpoint?.answer(request) ?? { ...request, ...SOON })
    );
    const sessions = server.sessionStream(SESSION_PATH);
    server.startServer();
    try {
      await server.ready;
    } catch (cause) {
      throw new TransportError("refused", `cannot listen on UDP ${host}:${port}`, { cause });
    }
    const endpoint = new QuicheEndpoint(server, binding);
    opened.endpoint = endpoint;
    void endpoint.#acceptAll(sessions);
    return endpoint;
  }

  private constructor(server: FailsServer, binding: Binding) {
    this.port = server.address()?.port ?? binding.port;
    this.#server = server;
    this.#binding = binding;
  }

  /** The package ends all sessions as it stops, so it stops after the last. */
  retire(): Promise<void> {
    this.#isRetired = true;
    if (this.#sessionCount === 0 && !this.#isStopped) {
      this.#isStopped = true;
      this.#server.stopServer();
    }
    return Promise.resolve();
  }

  /** What the package is told to do with a request: a status, and for a session its path and what goes with it. */
  answer({ header }: { header: Record<string, string> }) {
    const { gate, options } = this.#binding;
    const refuse = (status: number) => ({ header, path: SESSION_PATH, status });
    if (this.#isRetired) return refuse(503);
    const url = new URL(header[":path"] ?? "", `https://${header[":authority"] ?? "localhost"}`);
    const { origin } = header;
    const refusal = gate.judge(url, { peerAddress: "", ...(origin === undefined ? {} : { origin }) });
    if (refusal) return refuse(refusal.code === "not-found" ? 404 : 403);
    const place = options.admission.admit();
    if ("refusal" in place) return refuse(place.refusal.code === "too-many-handshakes" ? 429 : 503);
    const { clock } = options.environment;
    const claim: Claim = {
      admitted: place.admitted,
      acceptedMs: clock.monotonic(),
      cancelTimer: clock.schedule(options.limits.handshakeGraceMs, place.admitted.release),
    };
    return { header, path: SESSION_PATH, status: 200, userData: claim };
  }

  async #acceptAll(sessions: ReadableStream<FailsSession>): Promise<void> {
    const { gate, options } = this.#binding;
    try {
      for await (const session of sessions) this.#open(session);
    } catch (error) {
      if (!gate.isClosing) options.onError(error);
    }
  }

  #open(session: FailsSession): void {
    const { admitted, acceptedMs, cancelTimer } = session.userData as Claim;
    const connection = connectionOf(session);
    const peerAddress = (session.peerAddress ?? "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
    cancelTimer();
    this.#sessionCount++;
    const leave = () => {
      this.#sessionCount--;
      admitted.release();
      if (this.#isRetired) void this.retire();
    };
    connection.closed.then(leave, leave);
    if (admitted.located(peerAddress)) return connection.close();
    admitted.opened();
    this.#binding.gate.open(connection, { peerAddress, acceptedMs });
  }
}

/** The answer to a request that comes before the listener is ready. */
const SOON = { path: SESSION_PATH, status: 503 };

function connectionOf(session: FailsSession): StreamConnection {
  for (const promise of [session.ready, session.closed, session.draining]) promise.catch(() => {});
  return {
    ready: session.ready,
    closed: session.closed,
    incomingBidirectionalStreams: cancellable(session.incomingBidirectionalStreams).pipeThrough(
      new TransformStream<BidirectionalStream, BidirectionalStream>({
        transform: (stream, controller) => controller.enqueue(prioritized(stream)),
      }),
    ),
    datagrams: {
      readable: cancellable(session.datagrams.readable),
      createWritable: () => session.datagrams.createWritable!(),
    },
    unreadBytesMax: UNREAD_BYTES_MAX,
    createBidirectionalStream: ({ sendOrder = 0 } = {}) => session.createBidirectionalStream({ sendOrder }),
    close: ({ closeCode = 0, reason = "" } = {}) => session.close({ closeCode, reason }),
  };
}

function prioritized({ readable, writable }: BidirectionalStream): BidirectionalStream {
  return {
    readable,
    writable,
    prioritize: (sendOrder) => {
      (writable as WritableStream & { sendOrder: number }).sendOrder = sendOrder;
    },
  };
}
