import type { Environment } from "../../core/environment.ts";
import type { Session, SessionLimits } from "../session.ts";
import { SESSION_PATH } from "../session_endpoint.ts";
import { TransportError } from "../transport_error.ts";
import { connectCapability } from "./capability.ts";
import type { WebTransportLike } from "./web_transport_like.ts";
import { WebTransportSession } from "./webtransport_session.ts";

export interface ConnectWebTransportOptions {
  /** `https:` address of the server; the path of the session endpoint is put in. */
  readonly url: string;
  /** SHA-256 hashes of the certificates to trust instead of the public ones, as bytes or hexadecimal text. */
  readonly certificateHashes?: readonly (Uint8Array | string)[];
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal?: AbortSignal;
}

/**
 * Opens a session over the global WebTransport, which browsers and Deno have. TransportError `unsupported` where there is none,
 * `refused` where the server is not there or turns us away, `timeout` after `handshakeGraceMs`; the signal's reason on abort.
 */
export async function connectWebTransport(options: ConnectWebTransportOptions): Promise<Session> {
  const { limits, environment, signal } = options;
  const capability = connectCapability();
  if (!capability.isSupported) throw new TransportError("unsupported", capability.reason);
  signal?.throwIfAborted();
  const url = new URL(SESSION_PATH, options.url);
  if (url.protocol !== "https:") throw new TypeError(`a WebTransport address is https:, got "${options.url}"`);
  const hashes = (options.certificateHashes ?? []).map((hash) => ({ algorithm: "sha-256", value: hashBytes(hash) }));
  const transport = newTransport(url.href, hashes);
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

async function open(transport: WebTransportLike, url: URL, options: ConnectWebTransportOptions): Promise<Session> {
  const { limits, environment } = options;
  try {
    await transport.ready;
    const session = new WebTransportSession({ transport, side: "client", peerAddress: url.host, limits, environment });
    await session.openLanes();
    return session;
  } catch (cause) {
    throw new TransportError("refused", `no WebTransport with ${url}: ${(cause as Error)?.message ?? cause}`, {
      cause,
    });
  }
}

function newTransport(url: string, hashes: { algorithm: string; value: Uint8Array<ArrayBuffer> }[]): WebTransportLike {
  try {
    return new WebTransport(
      url,
      hashes.length > 0 ? { serverCertificateHashes: hashes } : {},
    ) as unknown as WebTransportLike;
  } catch (cause) {
    throw new TransportError("refused", `no WebTransport with ${url}: ${(cause as Error)?.message ?? cause}`, {
      cause,
    });
  }
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function closeQuietly(transport: WebTransportLike): void {
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
