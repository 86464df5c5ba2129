import process from "node:process";
import { concatBytes } from "../../../src/lib/bytes.ts";
import { Lane } from "../../../src/net/session.ts";
import { frame, frameHead, upgradeHead } from "../http_listener.node.ts";
import { secureWebSocket, webSocket } from "../transports/websocket.ts";
import { until } from "../wait.ts";
import type { Hostile, HostilePeer, OpenOptions, Party } from "./hostile_peer.ts";
import { clientHello, type Connection, type Framing, openTcp, openTls, SocketPeer } from "./socket_peer.node.ts";

/** A fragment of one byte that goes on and does not end. */
const PIECE = Uint8Array.of(0x00, 0x81, 0, 0, 0, 0, 1);

const WEBSOCKET_FRAMING: Framing = {
  frame: (message) => frame(message),
  head: (size) => frameHead(size),
  firstPiece: frame(Uint8Array.of(Lane.control), 0x02),
  pieces: (count) => concatBytes(Array.from({ length: count }, () => PIECE)),
};

/** Bun gives the head of a request, and TLS, a time of its own: about twelve seconds whatever is configured. */
const BUN_HEAD_MS_MAX = 16_000;

const isBun = process.versions["bun"] !== undefined;

export const webSocketParty: Party = { key: "websocket", transport: webSocket, hostile: hostileWebSocket(false) };
export const secureWebSocketParty: Party = {
  key: "secure-websocket",
  transport: secureWebSocket,
  hostile: hostileWebSocket(true),
};

function hostileWebSocket(isSecure: boolean): Hostile {
  return {
    family: "websocket",
    ...(isBun ? { handshakeMsMax: BUN_HEAD_MS_MAX } : {}),
    begin: async ({ url }, how) => {
      const peer = new SocketPeer(await openTcp(url), WEBSOCKET_FRAMING);
      if (how === "byte by byte") peer.trickleRaw(isSecure ? await clientHello() : new TextEncoder().encode(head(url)));
      return peer;
    },
    open: async ({ url }, options) => await upgrade(isSecure ? await openTls(url) : await openTcp(url), url, options),
  };
}

/** A head that does not end. */
function head(url: string): string {
  return upgradeHead(url).trimEnd() + "\r\nX: " + "x".repeat(4000);
}

async function upgrade(
  connection: Connection,
  url: string,
  options: OpenOptions = {},
): Promise<HostilePeer> {
  const peer = new SocketPeer(connection, WEBSOCKET_FRAMING);
  await peer.raw(new TextEncoder().encode(upgradeHead(url, options)));
  await until(() => peer.isClosed || peer.heard.includes("\r\n\r\n"), "the answer to the upgrade");
  if (peer.heard.startsWith("HTTP/1.1 101 ")) return peer;
  peer.drop();
  throw new Error(`refused: ${peer.heard.slice(0, 40)}`);
}
