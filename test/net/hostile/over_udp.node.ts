// Handshakes over UDP that begin and do not end: an honest client whose packets are lost on the way.

import type { StreamConnection } from "../../../src/net/stream_connection.ts";
import type { HostilePeer, Target } from "./hostile_peer.ts";
import { StreamPeer } from "./stream_peer.ts";
import { udpRelay } from "./udp_relay.node.ts";

/** Only the first packet arrives, or the first few, late: enough for the server to begin and too little to go on. */
export async function beginOverUdp(
  dial: (target: Target) => StreamConnection,
  target: Target,
  how: "byte by byte" | "never",
): Promise<HostilePeer> {
  const loss = how === "never" ? { packetsMax: 1, delayMs: 0 } : { packetsMax: 3, delayMs: 100 };
  const relay = await udpRelay({ port: target.port, ...loss });
  const connection = dial({ ...target, port: relay.port });
  connection.ready.catch(() => {});
  return new StreamPeer(connection, { onDrop: () => relay.close() });
}
