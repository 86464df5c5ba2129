import { isIP } from "node:net";
import { connect, type ConnectionOptions, type PeerCertificate as Shown, type TLSSocket } from "node:tls";
import type { Clock } from "../../core/environment.ts";
import type { ClientIdentity } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";

export interface SecureConnectionOptions {
  /** `wss:` or `https:`, of which host and port count. */
  readonly url: string;
  readonly identity: ClientIdentity;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * A TLS connection to a server that `identity` trusts, on which nothing has been sent yet. TransportError `refused` where there
 * is none, or the server is another; the signal's reason on abort.
 */
export function secureConnection(options: SecureConnectionOptions): Promise<TLSSocket> {
  const { url, identity, clock, signal } = options;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = connect(connectionOptions(new URL(url), identity));
    const settle = () => {
      signal.removeEventListener("abort", abandon);
      socket.off("close", closed);
    };
    const giveUp = (reason: unknown) => {
      settle();
      socket.destroy();
      reject(reason);
    };
    const refused = (why: string, cause?: unknown) => {
      giveUp(new TransportError("refused", `no TLS with ${url}: ${why}`, cause === undefined ? {} : { cause }));
    };
    const abandon = () => giveUp(signal.reason);
    const closed = () => refused("the server closed the connection");
    signal.addEventListener("abort", abandon, { once: true });
    // Stays: an error after the end of the handshake is reported once more by whoever uses the connection.
    socket.on("error", (error) => refused(error.message, error));
    socket.once("close", closed);
    socket.once("secureConnect", () => {
      const fault = identity.certificateHashes &&
        hashFault(socket.getPeerCertificate(), identity.certificateHashes, clock);
      if (fault) return refused(fault);
      settle();
      resolve(socket);
    });
  });
}

function connectionOptions({ hostname, port }: URL, identity: ClientIdentity): ConnectionOptions {
  const host = hostname.replace(/^\[|\]$/g, "");
  const name = identity.serverName ?? host;
  return {
    host,
    port: Number(port || 443),
    ...authority(identity),
    ...(isIP(name) ? {} : { servername: name }),
    // A certificate that is trusted by its hash may have any issuer and name.
    rejectUnauthorized: identity.certificateHashes === undefined,
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.2",
  };
}

/** Whom to trust and what to show, as node:tls and Bun's WebSocket take it. */
export function authority({ ca, cert, key }: ClientIdentity): { ca?: string[]; cert?: string; key?: string } {
  return { ...(ca ? { ca: [...ca] } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}) };
}

/** What is wrong with a certificate that should be trusted by its hash, or `undefined`. */
export function hashFault(certificate: Shown, hashes: readonly string[], clock: Clock): string | undefined {
  const plain = (hash: string) => hash.replaceAll(":", "").toLowerCase();
  const found = plain(certificate.fingerprint256 ?? "");
  if (!hashes.some((hash) => plain(hash) === found)) {
    return `its certificate has the hash ${found || "of none"}, trusted are ${hashes.map(plain).join(", ")}`;
  }
  const [from, to] = [Date.parse(certificate.valid_from), Date.parse(certificate.valid_to)];
  const now = clock.now();
  return now >= from && now <= to
    ? undefined
    : `its certificate is valid from ${certificate.valid_from} to ${certificate.valid_to}`;
}
