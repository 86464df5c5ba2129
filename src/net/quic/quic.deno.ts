// QUIC on Deno: an endpoint of quinn behind Deno.QuicEndpoint and Deno.connectQuic. Needs --unstable-net. What it cannot do: ask a
// client for a certificate, tell which certificate a server has shown, and trust the authorities given instead of its own. By its
// hash a certificate can be trusted, and then by that alone.

import { DatagramInbox } from "../datagram_inbox.ts";
import { lockStream } from "../lane_pump.ts";
import type { Session, SessionLimits } from "../session.ts";
import { TransportError } from "../transport_error.ts";
import { serverContext } from "../tls/identity.node.ts";
import type { ServerIdentity } from "../tls_identity.ts";
import type { Capability } from "../capability.ts";
import { openQuicEndpoint } from "../quic_endpoint.deno.ts";
import { openQuicSession, type QuicAttempt } from "./open_quic_session.ts";
import {
  checkClientIdentity,
  type ConnectQuicOptions,
  type DialQuicOptions,
  parseQuicUrl,
  QUIC_ALPN,
  QUIC_STREAMS_MAX,
  type QuicListener,
  type QuicListenOptions,
  quicTimes,
  quicUrl,
} from "./quic.ts";
import { type IncomingQuic, QuicAcceptor } from "./quic_acceptor.ts";
import { type BareConnection, type BareStream, WindowedConnection } from "./windowed_connection.ts";

/** Whether this Deno has QUIC at all. May be asked on any runtime. */
export function denoQuicCapability(): Capability {
  const { Deno } = globalThis as { Deno?: { QuicEndpoint?: unknown; connectQuic?: unknown } };
  if (typeof Deno?.QuicEndpoint === "function" && typeof Deno.connectQuic === "function") return { isSupported: true };
  return { isSupported: false, reason: "no Deno.QuicEndpoint: needs Deno started with --unstable-net" };
}

// deno-lint-ignore require-await -- listeners of other runtimes take a turn
export async function listenQuic(options: QuicListenOptions): Promise<QuicListener> {
  return new DenoQuicListener(options);
}

class DenoQuicListener implements QuicListener {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  readonly #options: QuicListenOptions;
  readonly #endpoint: Deno.QuicEndpoint;
  readonly #acceptor: QuicAcceptor;
  /** The first accepts for all of them; the later ones are there for their certificates. */
  readonly #listeners: Deno.QuicListener[] = [];

  constructor(options: QuicListenOptions) {
    this.#options = options;
    this.#acceptor = new QuicAcceptor(options);
    checkListening(options.identity);
    this.host = options.host;
    this.#endpoint = openQuicEndpoint(options);
    this.port = this.#endpoint.addr.port;
    this.url = quicUrl(this.host, this.port);
    this.replaceIdentity(options.identity);
    this.#acceptAll(this.#listeners[0]!);
  }

  get sessionCount(): number {
    return this.#acceptor.sessionCount;
  }

  /**
   * Listening again on the same endpoint replaces the certificate of all handshakes that follow. Stopping or dropping any of an
   * endpoint's listeners stops the accepting altogether, so the earlier ones are kept (seen on Deno 2.9.6; a listener is a handle
   * of a few bytes, and certificates change every few days).
   */
  replaceIdentity(identity: ServerIdentity): void {
    checkListening(identity);
    if (this.#acceptor.isClosing) throw new TransportError("refused", "a listener that closes gets no new certificate");
    this.#listeners.push(this.#endpoint.listen({
      cert: identity.cert,
      key: identity.key,
      alpnProtocols: [QUIC_ALPN],
      maxConcurrentBidirectionalStreams: QUIC_STREAMS_MAX,
      ...transportOptions(this.#options.limits),
    }));
  }

  async close(): Promise<void> {
    if (!this.#acceptor.isClosing) this.#listeners[0]!.stop();
    if (await this.#acceptor.close()) this.#endpoint.close();
  }

  async #acceptAll(listener: Deno.QuicListener): Promise<void> {
    try {
      for await (const incoming of listener) this.#acceptor.accept(incomingOf(incoming, this.#options));
    } catch (error) {
      if (!this.#acceptor.isClosing) this.#options.onError(error);
    }
  }
}

function incomingOf(incoming: Deno.QuicIncoming, options: QuicListenOptions): IncomingQuic {
  return {
    refuse: () => incoming.refuse(),
    accept: () => {
      // `zeroRtt` gives the connection before its handshake is over, so that it can be closed when the grace ends.
      const connection = incoming.accept({ zeroRtt: true });
      const peer = connection.handshake.then(() => ({ peerAddress: connection.remoteAddr.hostname }));
      return { connection: adapt(connection, "server", options), peer };
    },
  };
}

function checkListening(identity: ServerIdentity): void {
  serverContext(identity);
  const { clientCertificates = "none" } = identity;
  if (clientCertificates === "none") return;
  throw new TransportError(
    "unsupported",
    `clientCertificates is "${clientCertificates}", and QUIC on Deno cannot ask for them: needs Bun, or another transport`,
  );
}

export async function connectQuic(options: ConnectQuicOptions): Promise<Session> {
  const { identity = {} } = options;
  checkClientIdentity(identity);
  return await openQuicSession(() => dialQuic(options), options);
}

/** Connects without making a session of it. */
export function dialQuic({ url, identity = {}, limits, environment, alpn = QUIC_ALPN }: DialQuicOptions): QuicAttempt {
  const { host, port } = parseQuicUrl(url);
  const { ca, cert, key, serverName, certificateHashes = [] } = identity;
  const endpoint = clientEndpoint();
  const connecting = Deno.connectQuic({
    hostname: host,
    port,
    endpoint,
    alpnProtocols: [alpn],
    // The server opens no streams.
    maxConcurrentBidirectionalStreams: 0,
    ...transportOptions(limits),
    ...(serverName === undefined ? {} : { serverName }),
    ...(ca === undefined ? {} : { caCerts: [...ca] }),
    // Missing in Deno's types and taken all the same (2.9.6). Where there are hashes, neither authorities nor the name count, and
    // one that is expired is refused; the client's own certificate is not shown then.
    ...(certificateHashes.length === 0 ? {} : { serverCertificateHashes: certificateHashes.map(hashValue) }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
  const connection = Promise.resolve(connecting).then((connection) => {
    connection.closed.catch(() => {}).then(() => endpoint.close());
    return adapt(connection, "client", { limits, environment });
  });
  connection.catch(() => {});
  return { connection, abandon: () => endpoint.close() };
}

function hashValue(hash: string): { algorithm: "sha-256"; value: Uint8Array } {
  return { algorithm: "sha-256", value: Uint8Array.fromHex(hash.replaceAll(":", "")) };
}

/** A socket of its own for each connection: it carries both families where the system has both. */
function clientEndpoint(): Deno.QuicEndpoint {
  try {
    return new Deno.QuicEndpoint({ hostname: "::", port: 0 });
  } catch {
    return new Deno.QuicEndpoint({ hostname: "0.0.0.0", port: 0 });
  }
}

function transportOptions(limits: SessionLimits): Deno.QuicTransportOptions {
  const { idleTimeoutMs, keepAliveMs } = quicTimes(limits);
  return { maxIdleTimeout: idleTimeoutMs, keepAliveInterval: keepAliveMs, maxConcurrentUnidirectionalStreams: 0 };
}

function adapt(
  connection: Deno.QuicConn,
  side: "client" | "server",
  { limits, environment }: Pick<ConnectQuicOptions, "limits" | "environment">,
): WindowedConnection {
  const inbox = new DatagramInbox();
  const { closed } = connection;
  closed.catch(() => {}).then(() => inbox.stop());
  readDatagrams(connection, inbox);
  const bare: BareConnection = {
    closed,
    datagrams: {
      readable: inbox.readable,
      writable: new WritableStream({ write: (bytes) => connection.sendDatagram(bytes) }),
    },
    incomingStreams: incomingStreams(connection),
    takesTurns: false,
    openStream: async () => bareStream(await connection.createBidirectionalStream()),
    close: ({ closeCode = 0, reason = "" } = {}) => connection.close({ closeCode, reason }),
  };
  return new WindowedConnection({
    connection: bare,
    side,
    windowBytes: limits.laneWindowBytes,
    clock: environment.clock,
  });
}

async function* incomingStreams(connection: Deno.QuicConn): AsyncGenerator<BareStream> {
  for await (const stream of connection.incomingBidirectionalStreams) yield bareStream(stream);
}

function bareStream({ readable, writable }: Deno.QuicBidirectionalStream): BareStream {
  // Ids of the client's bidirectional streams are 0, 4, 8 and so on.
  const number = Number(readable.id / 4n);
  const { source, target } = lockStream({ readable, writable });
  return {
    number,
    read: async () => {
      const { done, value } = await source.read();
      return done ? undefined : [value];
    },
    write: (bytes) => target.write(bytes),
    abort: () => void target.abort().catch(() => {}),
    prioritize: (sendOrder) => void (writable.sendOrder = sendOrder),
  };
}

async function readDatagrams(connection: Deno.QuicConn, inbox: DatagramInbox): Promise<void> {
  try {
    while (true) inbox.push(await connection.readDatagram());
  } catch {
    // The end of the connection is told by `closed`.
  }
}
