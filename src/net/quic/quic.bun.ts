// QUIC on Bun: the module node:quic, which Node's stock binary does not have. What it cannot do: let a client come without a
// certificate where it asks for one, and ask for one after its own certificate was replaced.

import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type Environment, sleep } from "../../core/environment.ts";
import { assert } from "../../lib/assert.ts";
import { encodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import type { Session, SessionLimits } from "../session.ts";
import { peerCertificateOf, serverContext } from "../tls/identity.node.ts";
import type { PeerCertificate, ServerIdentity } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";
import { adaptSession } from "./bun_quic_connection.bun.ts";
import { checkCertificate } from "./check_certificate.bun.ts";
import {
  loadNodeQuic,
  type NodeQuicEndpoint,
  type NodeQuicIdentity,
  type NodeQuicSession,
  type NodeQuicSessionOptions,
} from "./node_quic.bun.ts";
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
import { type IncomingQuic, QuicAcceptor, type QuicPeer } from "./quic_acceptor.ts";
import type { WindowedConnection } from "./windowed_connection.ts";

/**
 * How long a socket stays after its last session: a close that has just been made is sent turns later, and where the socket is gone
 * by then the peer hears of it a second late (Bun 1.4.5; after 5 ms it was sent).
 */
const SOCKET_LINGER_MS = 20;

export async function listenQuic(options: QuicListenOptions): Promise<QuicListener> {
  checkListening(options.identity);
  const { listen } = loadNodeQuic();
  const acceptor = new QuicAcceptor(options);
  const { clientCertificates = "none", ca = [] } = options.identity;
  const sessionOptions: NodeQuicSessionOptions = {
    ...transportOptions(options.limits, QUIC_STREAMS_MAX),
    alpn: [QUIC_ALPN],
    // A reset is an answer to garbage, and where nobody takes it the socket fails: seconds pass before a client gets in (Bun 1.4.5).
    endpoint: { address: socketAddress(options.host, options.port), disableStatelessReset: true },
    sni: { "*": ownCertificate(options.identity) },
    handshakeTimeout: options.limits.handshakeGraceMs,
    // They count only here, not in the entry of `sni`.
    ...(clientCertificates === "require" ? { verifyClient: true, ca: ca.map((pem) => Buffer.from(pem)) } : {}),
  };
  try {
    const endpoint = await listen((session) => acceptor.accept(incomingOf(session, options)), sessionOptions);
    return new BunQuicListener(options, { endpoint, acceptor });
  } catch (cause) {
    throw new TransportError("refused", `cannot listen on UDP ${options.host}:${options.port}`, { cause });
  }
}

class BunQuicListener implements QuicListener {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  readonly #endpoint: NodeQuicEndpoint;
  readonly #acceptor: QuicAcceptor;
  readonly #environment: Environment;
  readonly #isMutual: boolean;

  constructor(
    { host, identity, environment }: QuicListenOptions,
    { endpoint, acceptor }: { endpoint: NodeQuicEndpoint; acceptor: QuicAcceptor },
  ) {
    const { address } = endpoint;
    assert(address !== undefined, "an endpoint that listens has an address");
    this.host = host;
    this.port = address.port;
    this.url = quicUrl(host, address.port);
    this.#endpoint = endpoint;
    this.#acceptor = acceptor;
    this.#environment = environment;
    this.#isMutual = identity.clientCertificates === "require";
  }

  get sessionCount(): number {
    return this.#acceptor.sessionCount;
  }

  replaceIdentity(identity: ServerIdentity): void {
    checkListening(identity);
    if (this.#acceptor.isClosing) throw new TransportError("refused", "a listener that closes gets no new certificate");
    const { clientCertificates = "none" } = identity;
    if (this.#isMutual || clientCertificates !== "none") {
      // After setSNIContexts Bun 1.4.5 asks no client for a certificate any more, and refuses each for not having shown one.
      const reason = "QUIC on Bun cannot replace its certificate where clients show theirs: listen anew";
      throw new TransportError("unsupported", reason);
    }
    this.#endpoint.setSNIContexts({ "*": ownCertificate(identity) });
  }

  async close(): Promise<void> {
    if (!this.#acceptor.isClosing) this.#endpoint.busy = true;
    if (!await this.#acceptor.close()) return;
    await closeSocket(this.#endpoint, this.#environment);
  }
}

function incomingOf(session: NodeQuicSession, options: QuicListenOptions): IncomingQuic {
  session.closed.catch(() => {});
  session.opened.catch(() => {});
  return {
    refuse: () => session.destroy(undefined, { code: 0, type: "application" }),
    accept: () => {
      const connection = adaptSession(session, "server", options);
      return { connection, peer: peerOf(session, options.identity) };
    },
  };
}

async function peerOf(session: NodeQuicSession, { clientCertificates = "none" }: ServerIdentity): Promise<QuicPeer> {
  // The address is nowhere to be had earlier.
  const { remote } = await session.opened;
  const peerAddress = remote.address;
  if (clientCertificates === "none") return { peerAddress };
  const certificate = session.peerCertificate;
  // `opened` resolves a moment before a client without a certificate is refused.
  if (certificate === undefined) throw new TransportError("refused", "the client showed no certificate");
  return { peerAddress, peerCertificate: peerCertificateOf(certificate)! };
}

function checkListening(identity: ServerIdentity): void {
  serverContext(identity);
  if (identity.clientCertificates !== "request") return;
  throw new TransportError(
    "unsupported",
    'clientCertificates is "request", and QUIC on Bun refuses a client without one: allowed are "none" and "require"',
  );
}

export async function connectQuic(options: ConnectQuicOptions): Promise<Session> {
  const { identity = {} } = options;
  checkClientIdentity(identity);
  return await openQuicSession(() => dialQuic(options), options);
}

/** Connects without making a session of it. */
export function dialQuic(options: DialQuicOptions): QuicAttempt {
  const { host, port } = parseQuicUrl(options.url);
  const attempt: ClientAttempt = { isOver: false, connection: undefined, shown: undefined };
  return {
    connection: connectTo(options, { host, port, attempt }),
    serverCertificate: () => attempt.shown,
    abandon: () => {
      attempt.isOver = true;
      attempt.connection?.close({ closeCode: SESSION_CLOSE_CODE, reason: encodeCloseReason(ABANDONED) });
    },
  };
}

interface ClientAttempt {
  isOver: boolean;
  connection: WindowedConnection | undefined;
  /** The server's certificate, once it was judged. */
  shown: PeerCertificate | undefined;
}

const ABANDONED = { code: "closed", reason: "the attempt was given up" };

async function connectTo(
  { limits, environment, identity = {}, alpn = QUIC_ALPN }: DialQuicOptions,
  { host, port, attempt }: { host: string; port: number; attempt: ClientAttempt },
): Promise<WindowedConnection> {
  const { connect, QuicEndpoint } = loadNodeQuic();
  const address = isIP(host) ? host : (await lookup(host)).address;
  if (attempt.isOver) throw new Error("the attempt was given up");
  // A socket of its own: one that is shared stays open when its connections are gone.
  const endpoint = new QuicEndpoint({
    address: isIP(address) === 6 ? "[::]:0" : "0.0.0.0:0",
    // On a busy machine a reset overtakes the close, with its code and reason, that the connection has just been ended with.
    disableStatelessReset: true,
  });
  endpoint.closed.catch(() => {});
  const { cert, key, ca, serverName = host } = identity;
  const sessionOptions: NodeQuicSessionOptions = {
    ...transportOptions(limits, 0),
    endpoint,
    alpn,
    // An address is no server name in TLS.
    ...(isIP(serverName) ? {} : { servername: serverName }),
    // The handshake tells what is wrong with the certificate, and `checkCertificate` judges before anything is sent.
    verifyPeer: "manual",
    ...(ca === undefined ? {} : { ca: ca.map((pem) => Buffer.from(pem)) }),
    ...(cert === undefined || key === undefined ? {} : ownCertificate({ cert, key })),
  };
  const session = await connect(socketAddress(address, port), sessionOptions);
  session.opened.catch(() => {});
  attempt.connection = adaptSession(session, "client", { limits, environment });
  attempt.connection.closed.catch(() => {}).then(() => closeSocket(endpoint, environment));
  if (attempt.isOver) attempt.connection.close();
  const { validationErrorReason: chainError } = await session.opened;
  const certificate = session.peerCertificate;
  checkCertificate({ certificate, chainError, host, nowMs: environment.clock.now() }, identity);
  attempt.shown = certificate && peerCertificateOf(certificate);
  return attempt.connection;
}

async function closeSocket(endpoint: NodeQuicEndpoint, { clock }: Environment): Promise<void> {
  await sleep(clock, SOCKET_LINGER_MS);
  endpoint.destroy();
  await endpoint.closed.catch(() => {});
}

function ownCertificate({ cert, key }: ServerIdentity): NodeQuicIdentity {
  return { keys: [createPrivateKey(key)], certs: [Buffer.from(cert)] };
}

function socketAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function transportOptions(limits: SessionLimits, incomingStreamsMax: number) {
  const { idleTimeoutMs, keepAliveMs } = quicTimes(limits);
  return {
    keepAlive: keepAliveMs,
    transportParams: {
      maxIdleTimeout: idleTimeoutMs,
      initialMaxStreamsBidi: incomingStreamsMax,
      initialMaxStreamsUni: 0,
      initialMaxStreamDataBidiLocal: 2 << 20,
      initialMaxStreamDataBidiRemote: 2 << 20,
      initialMaxData: 16 << 20,
      // The type and length of the frame count too.
      maxDatagramFrameSize: 1200,
    },
  };
}
