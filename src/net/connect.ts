// Opens a session to a node by the best transport that reaches it: what the node offers is asked over HTTP, WebTransport is
// tried first where both ends have it, WebSocket is what always works.

import type { Environment } from "../core/environment.ts";
import type { Session, SessionLimits, TransportName } from "./session.ts";
import { TransportError } from "./transport_error.ts";
import { connectWebSocket } from "./websocket/connect_websocket.ts";
import { connectCapability } from "./webtransport/capability.ts";
import { connectWebTransport } from "./webtransport/connect_webtransport.ts";

/** WebTransport must be ready within this time when there is another transport to fall back to: UDP is often blocked. */
const FALLBACK_AFTER_MS = 3_000;

export interface ConnectOptions {
  /** HTTP address of the node. */
  readonly url: string;
  /** Transports that may be used, the preferred one first. */
  readonly transports: readonly ("webtransport" | "websocket")[];
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal?: AbortSignal;
  /** Told why a transport was passed over, and what was tried instead. */
  readonly onFallback?: (transport: TransportName, reason: string) => void;
}

/** What a node says of itself, as far as connecting needs it. */
interface Offer {
  readonly webtransport: string | null;
  readonly certificateHashes: readonly string[];
}

/** The first transport that works. @throws TransportError of the last one that was tried. */
export async function connect(options: ConnectOptions): Promise<Session> {
  let failure: unknown = new TransportError("unsupported", "no transport is allowed");
  for (const [index, transport] of options.transports.entries()) {
    try {
      const last = index === options.transports.length - 1;
      return await open(transport, options, last);
    } catch (error) {
      options.signal?.throwIfAborted();
      failure = error;
      options.onFallback?.(transport, error instanceof Error ? error.message : String(error));
    }
  }
  throw failure;
}

async function open(transport: "webtransport" | "websocket", options: ConnectOptions, last: boolean): Promise<Session> {
  const { url, limits, environment } = options;
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  if (transport === "websocket") return await connectWebSocket({ url, limits, environment, ...signal });
  const capability = connectCapability();
  if (!capability.isSupported) throw new TransportError("unsupported", capability.reason);
  const offer = await askOffer(url, options.signal);
  if (offer.webtransport === null) throw new TransportError("unsupported", `${url} has no WebTransport`);
  const handshakeGraceMs = last ? limits.handshakeGraceMs : Math.min(FALLBACK_AFTER_MS, limits.handshakeGraceMs);
  return await connectWebTransport({
    url: offer.webtransport,
    certificateHashes: offer.certificateHashes,
    limits: { ...limits, handshakeGraceMs },
    environment,
    ...signal,
  });
}

async function askOffer(url: string, signal?: AbortSignal): Promise<Offer> {
  try {
    const response = await fetch(new URL("/v1/node", url), signal ? { signal } : {});
    if (!response.ok) throw new TransportError("refused", `${url} answered ${response.status}`);
    return await response.json() as Offer;
  } catch (error) {
    if (error instanceof TransportError) throw error;
    throw new TransportError("refused", `${url} does not answer`, { cause: error });
  }
}
