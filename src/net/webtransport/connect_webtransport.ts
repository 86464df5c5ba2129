import type { Environment } from "../../core/environment.ts";
import type { Session, SessionLimits } from "../session.ts";
import { SESSION_PATH } from "../session_endpoint.ts";
import { TransportError } from "../transport_error.ts";
import type { StreamConnection } from "../stream_connection.ts";
import type { DialOptions, HttpVersion, WebTransportBackend } from "./backend.ts";
import { nativeBackend } from "./native_backend.ts";
import { StreamedSession } from "../streamed_session.ts";

export interface ConnectWebTransportOptions {
  /** `https:` address of the server; the path of the session endpoint is put in. */
  readonly url: string;
  /** SHA-256 hashes of the certificates to trust instead of the public ones, as bytes or hexadecimal text. */
  readonly certificateHashes?: readonly (Uint8Array | string)[];
  /** What the server speaks at `url`, as it announces it. Default `h3`. */
  readonly http?: HttpVersion;
  /** What may carry the session, the preferred one first (`backends.node.ts` knows them). Default: the runtime's own WebTransport. */
  readonly backends?: readonly WebTransportBackend[];
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal?: AbortSignal;
}

/**
 * Opens a session over the first backend that speaks `http`. TransportError `unsupported` where there is none, `refused` where
 * the server is not there or turns us away, `timeout` after `handshakeGraceMs`; the signal's reason on abort.
 */
export async function connectWebTransport(options: ConnectWebTransportOptions): Promise<Session> {
  const { limits, environment, signal } = options;
  const backend = chooseBackend(options);
  signal?.throwIfAborted();
  const url = new URL(SESSION_PATH, options.url);
  if (url.protocol !== "https:") throw new TypeError(`a WebTransport address is https:, got "${options.url}"`);
  const certificateHashes = (options.certificateHashes ?? []).map(hashBytes);
  const transport = dial(backend, { url, certificateHashes, limits, clock: environment.clock });
  transport.closed.catch(() => {});
  transport.ready.catch(() => {});
  const giveUp = new AbortController();
  const cancelTimer = environment.clock.schedule(limits.handshakeGraceMs, () => {
    giveUp.abort(new TransportError("timeout", `no WebTransport with ${url} within ${limits.handshakeGraceMs} ms`));
  });
  const abandon = () => giveUp.abort(signal!.reason);
  signal?.addEventListener("abort", abandon, { once: true });
  try {
    return await Promise.race([open(transport, url, options), rejection(giveUp.signal)]);
  } catch (error) {
    closeQuietly(transport);
    throw error;
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", abandon);
  }
}

async function open(transport: StreamConnection, url: URL, options: ConnectWebTransportOptions): Promise<Session> {
  const { limits, environment } = options;
  try {
    await transport.ready;
    const session = new StreamedSession({
      connection: transport,
      transport: "webtransport",
      side: "client",
      peerAddress: url.host,
      limits,
      environment,
    });
    await session.openLanes();
    return session;
  } catch (cause) {
    throw refused(url, cause);
  }
}

function chooseBackend({ http = "h3", backends = [nativeBackend()] }: ConnectWebTransportOptions): WebTransportBackend {
  const speaking = backends.filter((backend) => backend.http === http);
  const backend = speaking.find(({ connecting }) => connecting.isSupported);
  if (backend) return backend;
  const reasons = speaking.map(({ connecting }) => connecting.isSupported ? "" : connecting.reason);
  throw new TransportError("unsupported", reasons.join("; ") || `no WebTransport over ${http} here`);
}

function dial(backend: WebTransportBackend, options: DialOptions): StreamConnection {
  try {
    return backend.dial(options);
  } catch (cause) {
    throw refused(options.url, cause);
  }
}

function refused(url: URL, cause: unknown): TransportError {
  const reason = (cause as Error | undefined)?.message ?? String(cause);
  return new TransportError("refused", `no WebTransport with ${url}: ${reason}`, { cause });
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function closeQuietly(transport: StreamConnection): void {
  try {
    transport.close();
  } catch {
    // It never opened.
  }
}

function hashBytes(hash: Uint8Array | string): Uint8Array<ArrayBuffer> {
  // A fresh array: some implementations read the whole buffer below a view.
  const bytes = typeof hash === "string" ? bytesOfHex(hash) : new Uint8Array(hash);
  if (bytes.byteLength !== 32) throw new TypeError(`a certificate hash has 32 bytes, got ${bytes.byteLength}`);
  return bytes;
}

function bytesOfHex(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replaceAll(":", "");
  if (!/^([0-9a-fA-F]{2})*$/.test(digits)) throw new TypeError(`a certificate hash is hexadecimal, got "${text}"`);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
