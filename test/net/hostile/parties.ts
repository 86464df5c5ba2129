// All transports under attack, by the name that the process which listens is told.

import type { Party, PartyKey } from "./hostile_peer.ts";

export async function partyOf(key: PartyKey): Promise<Party> {
  return await PARTIES[key]();
}

const PARTIES: Readonly<Record<PartyKey, () => Promise<Party>>> = {
  "websocket": async () => (await import("./websocket.node.ts")).webSocketParty,
  "secure-websocket": async () => (await import("./websocket.node.ts")).secureWebSocketParty,
  "tls": async () => (await import("./framed.node.ts")).tlsParty,
  "tcp": async () => (await import("./framed.node.ts")).tcpParty,
  "quic": async () => (await import("./quic.node.ts")).quicParty,
  "webtransport-deno": async () => (await import("./webtransport.node.ts")).denoParty,
  "webtransport-h2": async () => (await import("./webtransport.node.ts")).h2Party,
  "webtransport-fails": async () => (await import("./webtransport.node.ts")).failsParty,
  "webtransport-moq": async () => (await import("./webtransport.node.ts")).moqParty,
};
