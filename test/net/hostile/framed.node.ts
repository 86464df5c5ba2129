// Hostile peers of sessions over TLS and TCP: MAPPING.md, section 6.

import { concatBytes } from "../../../src/lib/bytes.ts";
import { Lane } from "../../../src/net/session.ts";
import { ALPN_PROTOCOL } from "../../../src/net/tls/mapping.ts";
import { tcp } from "../transports/tcp.ts";
import { tls } from "../transports/tls.ts";
import type { Hostile, Party } from "./hostile_peer.ts";
import { clientHello, type Framing, openTcp, openTls, SocketPeer } from "./socket_peer.node.ts";

const FRAMED: Framing = {
  frame: (message) => concatBytes([length(BigInt(message.byteLength)), message]),
  head: (size) => concatBytes([length(size), Uint8Array.of(Lane.control)]),
  firstPiece: concatBytes([length(60_000n), Uint8Array.of(Lane.control)]),
  // Every piece is a segment of its own only while the socket is not congested; what counts is that the message does not end.
  pieces: (count) => new Uint8Array(Math.min(count, 20)),
};

function length(size: bigint): Uint8Array {
  const field = new Uint8Array(4);
  new DataView(field.buffer).setUint32(0, Number(size > 0xffff_ffffn ? 0xffff_ffffn : size), true);
  return field;
}

const hostileTls: Hostile = {
  family: "framed",
  begin: async ({ url }, how) => {
    const peer = new SocketPeer(await openTcp(url), FRAMED);
    if (how === "byte by byte") peer.trickleRaw(await clientHello());
    return peer;
  },
  open: async ({ url }) => new SocketPeer(await openTls(url, [ALPN_PROTOCOL]), FRAMED),
};

const hostileTcp: Hostile = {
  family: "framed",
  begin: async ({ url }) => new SocketPeer(await openTcp(url), FRAMED),
  open: async ({ url }) => new SocketPeer(await openTcp(url), FRAMED),
};

export const tlsParty: Party = { key: "tls", transport: tls, hostile: hostileTls };
export const tcpParty: Party = { key: "tcp", transport: tcp, hostile: hostileTcp };
