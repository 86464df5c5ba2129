import type { Session } from "../session.ts";
import { StreamedSession } from "../streamed_session.ts";
import type { PeerCertificate } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";
import type { ConnectQuicOptions } from "./quic.ts";
import type { WindowedConnection } from "./windowed_connection.ts";

/** An attempt to connect. */
export interface QuicAttempt {
  /** Settles when the handshake is over and the server is the one that was meant. */
  readonly connection: Promise<WindowedConnection>;
  /** The certificate that the server has shown, once `connection` has settled; absent where the runtime does not tell. */
  readonly serverCertificate?: () => PeerCertificate | undefined;
  /** Ends the attempt and what came of it. Harmless when repeated. */
  abandon(): void;
}

/**
 * Makes a session of an attempt. TransportError `refused` where the server is not there, is not trusted or turns us away,
 * `timeout` after `handshakeGraceMs`; the signal's reason on abort.
 */
export async function openQuicSession(begin: () => QuicAttempt, options: ConnectQuicOptions): Promise<Session> {
  const { url, limits, environment, signal } = options;
  signal?.throwIfAborted();
  const acceptedMs = environment.clock.monotonic();
  const giveUp = Promise.withResolvers<never>();
  giveUp.promise.catch(() => {});
  const cancelTimer = environment.clock.schedule(limits.handshakeGraceMs, () => {
    giveUp.reject(new TransportError("timeout", `no QUIC with ${url} within ${limits.handshakeGraceMs} ms`));
  });
  const abandon = () => giveUp.reject(signal!.reason);
  signal?.addEventListener("abort", abandon, { once: true });
  let attempt: QuicAttempt | undefined;
  try {
    attempt = begin();
    const opening = open(attempt, { ...options, acceptedMs });
    opening.catch(() => {});
    return await Promise.race([opening, giveUp.promise]);
  } catch (error) {
    attempt?.abandon();
    throw error;
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", abandon);
  }
}

async function open(
  attempt: QuicAttempt,
  { url, limits, environment, acceptedMs }: ConnectQuicOptions & { acceptedMs: number },
): Promise<Session> {
  try {
    const connection = await attempt.connection;
    const peerCertificate = attempt.serverCertificate?.();
    const session = new StreamedSession({
      connection,
      transport: "quic",
      side: "client",
      peerAddress: new URL(url).host,
      limits,
      environment,
      acceptedMs,
      ...(peerCertificate ? { peerCertificate } : {}),
    });
    const opening = session.openLanes();
    opening.catch(() => {});
    // The handshake of a client is over before the server has judged the certificate and the address it came from. Where it turns us
    // away, this says why, and the lanes say only that they could not be opened.
    await connection.welcomed;
    await opening;
    return session;
  } catch (cause) {
    if (cause instanceof TransportError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TransportError("refused", `no QUIC with ${url}: ${reason}`, { cause });
  }
}
