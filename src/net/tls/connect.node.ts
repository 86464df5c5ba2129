// Opens sessions over TLS and over plain TCP, through node:tls and node:net, on every runtime that has them.

import { Buffer } from "node:buffer";
import process from "node:process";
import { connect as tcpConnect, isIP, type Socket } from "node:net";
import { connect as tlsConnect, type TLSSocket } from "node:tls";
import type { Environment } from "../../core/environment.ts";
import { isLoopbackAddress } from "../address_prefix.ts";
import type { Session, SessionLimits } from "../session.ts";
import type { ClientIdentity, PeerCertificate } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";
import { awaitWelcome } from "./await_welcome.node.ts";
import { isCurrent, normalHash, shownCertificate } from "./identity.node.ts";
import { ALPN_PROTOCOL } from "./mapping.ts";
import type { TlsTicket, TlsTickets } from "./tls_tickets.ts";

export interface ConnectTcpOptions {
  /** `tcp://host:port` or `tls://host:port`. */
  readonly url: string;
  /** The address to be used for the url's host; without it the runtime resolves the name. */
  readonly address?: string;
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal?: AbortSignal;
}

export interface ConnectTlsOptions extends ConnectTcpOptions {
  /** Where it names certificate hashes, these alone decide; else its `ca`, else the authorities that the runtime trusts. */
  readonly identity?: ClientIdentity;
  /** Tickets of earlier connections; without it every handshake is a whole one. */
  readonly tickets?: TlsTickets;
}

/**
 * Deno's tickets are handles of a store that all connections of the process share, kept by the server's name without its port:
 * what is resumed may be the session with another server (https://github.com/denoland/deno/pull/33693).
 */
const HAS_OWN_TICKETS = process.versions["deno"] === undefined;

/**
 * Opens a session in the clear, with a server on this machine. TypeError for any other; TransportError `refused` where nobody
 * listens or we are turned away, `timeout` after `handshakeGraceMs`, `violation` where the server speaks something else; the
 * signal's reason on abort.
 */
export async function connectTcp(options: ConnectTcpOptions): Promise<Session> {
  const { host, port } = parseUrl(options.url, "tcp:");
  for (const each of [host, options.address ?? host]) {
    if (each !== "localhost" && !isLoopbackAddress(each)) {
      throw new TypeError(`plain TCP connects to loopback only (localhost, 127.0.0.0/8, ::1), got "${each}"`);
    }
  }
  return await awaitWelcome({
    ...options,
    transport: "tcp",
    connect: () => tcpConnect({ host: options.address ?? host, port }),
    readyEvent: "connect",
  });
}

/**
 * Opens a session over TLS 1.3. Nothing but the handshake is sent before the server is known to be trusted; a client certificate
 * is part of the handshake. Throws as {@link connectTcp} does, `refused` also for a server that is not trusted.
 */
export async function connectTls(options: ConnectTlsOptions): Promise<Session> {
  const target = parseUrl(options.url, "tls:");
  const { identity = {}, environment } = options;
  const name = identity.serverName ?? target.host;
  if (identity.serverName !== undefined && isIP(name) !== 0) {
    throw new TypeError(`identity.serverName is a name, got the address "${name}"`);
  }
  const hashes = (identity.certificateHashes ?? []).map(normalHash);
  const key = JSON.stringify([target, name, hashes, identity.ca, identity.cert]);
  const tickets = HAS_OWN_TICKETS ? options.tickets : undefined;
  const ticket = tickets?.take(key);
  return await awaitWelcome({
    ...options,
    transport: "tls",
    connect: () => {
      const host = options.address ?? target.host;
      return connectSecure({ host, port: target.port, name, identity, isPinned: hashes.length > 0, ticket });
    },
    readyEvent: "secureConnect",
    verify: (socket) => {
      const secure = socket as TLSSocket;
      const certificate = verifyServer(secure, { hashes, ticket, nowMs: environment.clock.now() });
      secure.on("session", (bytes: Uint8Array) => tickets?.keep(key, { bytes, certificate }));
      return certificate;
    },
  });
}

interface SecureTarget {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly identity: ClientIdentity;
  /** Whether the certificate is judged by its hash, after the handshake, and not by the runtime. */
  readonly isPinned: boolean;
  readonly ticket: TlsTicket | undefined;
}

function connectSecure({ host, port, name, identity, isPinned, ticket }: SecureTarget): Socket {
  const { ca, cert, key } = identity;
  return tlsConnect({
    host,
    port,
    // An address is no name to be asked for; the runtime then holds the certificate against the address.
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(ca ? { ca: [...ca] } : {}),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(ticket ? { session: Buffer.from(ticket.bytes) } : {}),
    minVersion: "TLSv1.3",
    ALPNProtocols: [ALPN_PROTOCOL],
    rejectUnauthorized: !isPinned,
  });
}

/**
 * The certificate by which the server of a finished handshake is known: it has the key, or resumes a session in which it had. With
 * a ticket Node shows none; that it was the trusted server's own was seen when the ticket came.
 *
 * @throws TransportError unless the server may be spoken to
 */
function verifyServer(
  socket: TLSSocket,
  { hashes, ticket, nowMs }: { hashes: readonly string[]; ticket: TlsTicket | undefined; nowMs: number },
): PeerCertificate | undefined {
  if (socket.alpnProtocol !== ALPN_PROTOCOL) {
    throw new TransportError("refused", `the server chose "${socket.alpnProtocol}" and not "${ALPN_PROTOCOL}" (ALPN)`);
  }
  const shown = shownCertificate(socket);
  if (shown === undefined && ticket && socket.isSessionReused()) return ticket.certificate;
  if (hashes.length === 0) return shown;
  const found = shown?.fingerprint256;
  if (found === undefined || !hashes.includes(found)) {
    throw new TransportError("refused", `the server's certificate has hash ${found}, allowed is ${hashes.join(", ")}`);
  }
  if (isCurrent(socket, nowMs)) return shown;
  const { valid_from, valid_to } = socket.getPeerCertificate();
  throw new TransportError("refused", `the server's certificate is valid from ${valid_from} to ${valid_to}`);
}

function parseUrl(address: string, protocol: "tcp:" | "tls:"): { host: string; port: number } {
  const url = URL.parse(address);
  const [host, port] = [url?.hostname.replace(/^\[(.*)\]$/, "$1") ?? "", Number(url?.port)];
  if (url?.protocol === protocol && host !== "" && port > 0) return { host, port };
  throw new TypeError(`an address here is ${protocol}//host:port, got "${address}"`);
}
