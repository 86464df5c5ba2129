import type { Environment } from "../../core/environment.ts";
import { MultiplexedSession } from "../multiplexed_session.ts";
import type { Session, SessionLimits } from "../session.ts";
import { SESSION_PATH } from "../session_endpoint.ts";
import { TransportError } from "../transport_error.ts";
import { ClientSocket } from "./client_socket.ts";
import { SUBPROTOCOL } from "./mapping.ts";

export interface ConnectWebSocketOptions {
  /** Address of the server, `http(s):` or `ws(s):`; the path of the session endpoint is put in. */
  readonly url: string;
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal?: AbortSignal;
}

/**
 * Opens a session over the global WebSocket, which browsers, Deno, Bun and Node all have. TransportError `refused` where the
 * server is not there or turns us away, `timeout` after `handshakeGraceMs`; the signal's reason on abort.
 */
export async function connectWebSocket(options: ConnectWebSocketOptions): Promise<Session> {
  const { limits, environment, signal } = options;
  signal?.throwIfAborted();
  const url = sessionUrl(options.url);
  const webSocket = new WebSocket(url, [SUBPROTOCOL]);
  webSocket.binaryType = "arraybuffer";
  // A message may arrive in the same turn as the open event, so the session listens from that event on.
  return await new Promise<Session>((resolve, reject) => {
    const settle = (): void => {
      cancelTimer();
      signal?.removeEventListener("abort", abandon);
      webSocket.onopen = webSocket.onclose = null;
      webSocket.onerror = () => {};
    };
    const giveUp = (reason: unknown): void => {
      settle();
      webSocket.close();
      reject(reason);
    };
    const abandon = () => giveUp(signal!.reason);
    const cancelTimer = environment.clock.schedule(limits.handshakeGraceMs, () => {
      giveUp(new TransportError("timeout", `no WebSocket with ${url} within ${limits.handshakeGraceMs} ms`));
    });
    signal?.addEventListener("abort", abandon, { once: true });
    webSocket.onerror = () => {};
    webSocket.onclose = ({ code, reason }) => {
      giveUp(new TransportError("refused", `no WebSocket with ${url}: closed with ${code} "${reason}"`));
    };
    webSocket.onopen = () => {
      if (webSocket.protocol !== SUBPROTOCOL) {
        giveUp(new TransportError("refused", `${url} chose subprotocol "${webSocket.protocol}", not "${SUBPROTOCOL}"`));
        return;
      }
      settle();
      const socket = new ClientSocket(webSocket, new URL(url).host);
      const session = new MultiplexedSession({ socket, transport: "websocket", side: "client", limits, environment });
      socket.attach(session);
      resolve(session);
    };
  });
}

function sessionUrl(address: string): string {
  const url = new URL(SESSION_PATH, address);
  if (url.protocol === "http:") url.protocol = "ws:";
  if (url.protocol === "https:") url.protocol = "wss:";
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw new TypeError(`a server's address is http(s): or ws(s):, got "${address}"`);
  }
  return url.href;
}
