import type { Environment } from "../../core/environment.ts";
import type { MessageSocket, MessageSocketEvents } from "../message_socket.ts";
import { MultiplexedSession } from "../multiplexed_session.ts";
import type { Session, SessionLimits } from "../session.ts";
import { SESSION_PATH } from "../session_endpoint.ts";
import type { ClientIdentity, PeerCertificate } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";
import { ClientSocket } from "./client_socket.ts";
import { askLogSlice, SUBPROTOCOL } from "./mapping.ts";

export interface ConnectWebSocketOptions {
  /** Address of the server, `http(s):` or `ws(s):`; the path of the session endpoint is put in. */
  readonly url: string;
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal?: AbortSignal;
  /** Whom to trust and what to show, other than the runtime does by itself; for `https:` and `wss:`. */
  readonly identity?: ClientIdentity;
}

/** A WebSocket that is about to open, and how a session uses it once it is open. */
export interface Opening {
  readonly webSocket: WebSocket;
  readonly toSocket: () => MessageSocket & { attach(events: MessageSocketEvents): void };
  /** What was found wrong with the server, in better words than the WebSocket's. */
  readonly fault?: () => string | undefined;
  /** The certificate that the server has shown, once it is open. */
  readonly peerCertificate?: () => PeerCertificate | undefined;
}

/**
 * Opens a session over the global WebSocket, which browsers, Deno, Bun and Node all have. TransportError `refused` where the
 * server is not there or turns us away, `timeout` after `handshakeGraceMs`, `unsupported` with an identity, for which
 * connect_websocket.node.ts is; the signal's reason on abort.
 */
export async function connectWebSocket(options: ConnectWebSocketOptions): Promise<Session> {
  if (options.identity) {
    const reason = "the global WebSocket takes no certificates: a browser uses those that it was given by its user";
    throw new TransportError("unsupported", `no WebSocket with an identity: ${reason}`);
  }
  const url = sessionUrl(options.url, options.limits);
  return await withinGrace(options, (signal) => openSession(openGlobal(url), { ...options, url, signal }));
}

/** The global WebSocket, with what Bun's takes beside the protocols. */
export function openGlobal(url: string, extras: Record<string, unknown> = {}): Opening {
  const hasExtras = Object.keys(extras).length > 0;
  const second = hasExtras ? { protocols: [SUBPROTOCOL], ...extras } as unknown as string[] : [SUBPROTOCOL];
  const webSocket = new WebSocket(url, second);
  return { webSocket, toSocket: () => new ClientSocket(webSocket, new URL(url).host) };
}

/** Runs `task` with a signal that aborts as the caller's does, or with `timeout` once the handshake grace is over. */
export async function withinGrace<Value>(
  options: ConnectWebSocketOptions,
  task: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const { url, limits, environment, signal } = options;
  signal?.throwIfAborted();
  const either = new AbortController();
  const abort = () => either.abort(signal!.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const cancel = environment.clock.schedule(limits.handshakeGraceMs, () => {
    either.abort(new TransportError("timeout", `no WebSocket with ${url} within ${limits.handshakeGraceMs} ms`));
  });
  try {
    return await task(either.signal);
  } finally {
    cancel();
    signal?.removeEventListener("abort", abort);
  }
}

/** The session over `webSocket` as soon as it is open. @throws TransportError `refused`; the signal's reason on abort */
export function openSession(
  { webSocket, toSocket, fault, peerCertificate }: Opening,
  { url, limits, environment, signal }: ConnectWebSocketOptions & { readonly signal: AbortSignal },
): Promise<Session> {
  // A message may arrive in the same turn as the open event, so the session listens from that event on.
  return new Promise<Session>((resolve, reject) => {
    const settle = (): void => {
      signal.removeEventListener("abort", abandon);
      webSocket.onopen = webSocket.onclose = null;
      webSocket.onerror = () => {};
    };
    const giveUp = (reason: unknown): void => {
      settle();
      webSocket.close();
      reject(reason);
    };
    const abandon = () => giveUp(signal.reason);
    let found = "";
    webSocket.onerror = (event) => found = (event as { message?: string }).message ?? "";
    webSocket.onclose = ({ code, reason }) => {
      const why = fault?.() ?? `closed with ${code} "${reason}" ${found}`.trimEnd();
      giveUp(new TransportError("refused", `no WebSocket with ${url}: ${why}`));
    };
    webSocket.onopen = () => {
      if (webSocket.protocol !== SUBPROTOCOL) {
        giveUp(new TransportError("refused", `${url} chose subprotocol "${webSocket.protocol}", not "${SUBPROTOCOL}"`));
        return;
      }
      settle();
      const socket = toSocket();
      const shown = peerCertificate?.();
      const session = new MultiplexedSession({
        socket,
        transport: "websocket",
        side: "client",
        limits,
        environment,
        logSliceBytesMax: limits.logSliceBytesMax,
        ...(shown ? { peerCertificate: shown } : {}),
      });
      socket.attach(session);
      resolve(session);
    };
    if (signal.aborted) abandon();
    else signal.addEventListener("abort", abandon, { once: true });
  });
}

/** Where the sessions of the server at `address` are, for a client with these limits. @throws TypeError */
export function sessionUrl(address: string, { logSliceBytesMax }: SessionLimits): string {
  const url = new URL(SESSION_PATH, address);
  if (url.protocol === "http:") url.protocol = "ws:";
  if (url.protocol === "https:") url.protocol = "wss:";
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw new TypeError(`a server's address is http(s): or ws(s):, got "${address}"`);
  }
  askLogSlice(url, logSliceBytesMax);
  return url.href;
}
