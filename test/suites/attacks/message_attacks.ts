// Attacks with what is sent on a session: sizes that are none, pieces too small, lanes too many, goodbyes too many.

import { expect } from "bun:test";
import { Lane } from "../../../src/net/session.ts";
import { INITIAL_WINDOW_BYTES } from "../../../src/net/multiplexer.ts";
import type { HostilePeer } from "../../net/hostile/hostile_peer.ts";
import { SIEGE_LIMITS } from "../../net/hostile/siege.ts";
import { frame } from "../../net/http_listener.node.ts";
import { allClosed, type Attack, ended, hello, repeat, say } from "./attack.ts";

const AT_ONCE_MS = 0;

export const tinyFragments: Attack = {
  serve: "ignore",
  run: async (siege, hostile) => {
    const peer = await hostile.open(siege.target);
    await peer.openLanes();
    await peer.fragments(100_000);
    // Bun shows no fragments; there a message that is not whole is silence.
    const codes = ["message-too-large", "stalled-message", "idle-timeout"];
    await ended(siege, 1, SIEGE_LIMITS.idleTimeoutMs, ...codes);
    await allClosed([peer], SIEGE_LIMITS.closeGraceMs);
  },
};

export const tinySlices: Attack = {
  limits: { idleTimeoutMs: 10_000 },
  bounds: { heldBytes: SIEGE_LIMITS.laneWindowBytes },
  serve: "ignore",
  run: async (siege, hostile) => {
    const peer = await hostile.open(siege.target);
    await peer.openLanes();
    const byte = new Uint8Array(1);
    // Within the first window, and each a slice, or a write, of its own.
    await repeat(INITIAL_WINDOW_BYTES / 4, () => peer.send(Lane.log, byte), () => peer.isClosed);
    expect([siege.state.ends, peer.isClosed]).toEqual([[], false]);
    peer.drop();
  },
};

export const declaredLength: Attack = {
  serve: "greet",
  run: async (siege, hostile) => {
    const peer = await hostile.open(siege.target);
    await peer.announce((1n << 63n) - 1n, 64 << 10);
    await ended(siege, 1, AT_ONCE_MS, "message-too-large");
    await allClosed([peer], SIEGE_LIMITS.closeGraceMs);
  },
};

export const hugeFrame: Attack = {
  serve: "greet",
  run: async (siege, hostile) => {
    const peer = await hostile.open(siege.target);
    await peer.announce(17n << 20n, 17 << 20);
    await ended(siege, 1, AT_ONCE_MS, "message-too-large");
    await allClosed([peer], SIEGE_LIMITS.closeGraceMs);
  },
};

export const compressedFrame: Attack = {
  serve: "greet",
  run: async (siege, hostile) => {
    const headers = { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" };
    const peer = await hostile.open(siege.target, { headers });
    expect(peer.heard.toLowerCase()).not.toContain("sec-websocket-extensions");
    await peer.raw(frame(new Uint8Array(100), 0xc2));
    await ended(siege, 1, AT_ONCE_MS, "malformed-message");
    await allClosed([peer], SIEGE_LIMITS.closeGraceMs);
  },
};

export const tenThousandLanes: Attack = {
  serve: "ignore",
  run: async (siege, hostile) => {
    const peer = await hostile.open(siege.target);
    await peer.openLanes();
    let opened = 0;
    await repeat(10_000, () => peer.openLane(5 + opened++ % 100), () => peer.isClosed);
    // Over QUIC this peer grants credit for each of its streams, of which some cannot be.
    await ended(siege, 1, AT_ONCE_MS, "unknown-lane", "duplicate-lane", "malformed-message");
    await allClosed([peer], SIEGE_LIMITS.closeGraceMs);
  },
};

export const laneTwice: Attack = {
  serve: "ignore",
  run: async (siege, hostile) => {
    const peer = await hostile.open(siege.target);
    await peer.openLanes();
    await peer.openLane(Lane.log);
    await ended(siege, 1, AT_ONCE_MS, "duplicate-lane");
    await allClosed([peer], SIEGE_LIMITS.closeGraceMs);
  },
};

export const datagramFlood: Attack = {
  limits: { idleTimeoutMs: 10_000 },
  bounds: { heldBytes: 1 },
  serve: "ignore",
  run: async (siege, hostile) => {
    const peer = await hostile.open(siege.target);
    await peer.openLanes();
    await peer.send(Lane.ack, new Uint8Array(1));
    const datagram = new Uint8Array(1000);
    await repeat(20_000, () => peer.datagram(datagram), () => peer.isClosed);
    expect([siege.state.ends, peer.isClosed]).toEqual([[], false]);
    peer.drop();
  },
};

const GOODBYE = { type: "goodbye", code: "weary", reason: "of it" } as const;

export const goodbyeStorm: Attack = {
  // The first waits for the tenth.
  limits: { handshakeGraceMs: 5000, idleTimeoutMs: 10_000 },
  bounds: { sessions: 10 },
  serve: "greet",
  run: async (siege, hostile) => {
    const peers: HostilePeer[] = [];
    for (let opened = 0; opened < 10; opened++) {
      const peer = await hostile.open(siege.target);
      await peer.openLanes();
      await peer.send(Lane.control, hello);
      peers.push(peer);
    }
    await Promise.all(peers.map((peer) => repeat(1000, () => say(peer, GOODBYE), () => peer.isClosed)));
    await ended(siege, peers.length, AT_ONCE_MS, GOODBYE.code);
    await allClosed(peers, SIEGE_LIMITS.closeGraceMs);
  },
};

export const messagesAfterGoodbye: Attack = {
  serve: "greet",
  run: async (siege, hostile) => {
    const peer = await hostile.open(siege.target);
    await peer.openLanes();
    await peer.send(Lane.control, hello);
    await say(peer, GOODBYE);
    await peer.send(Lane.control, hello);
    for (let said = 0; said < 200 && !peer.isClosed; said++) {
      await peer.send(Lane.ack, new Uint8Array(1000).fill(255));
      await peer.send(Lane.log, new Uint8Array(1000).fill(255));
      await say(peer, { type: "heartbeat", wallClock: 0, positions: [] });
    }
    await ended(siege, 1, AT_ONCE_MS, GOODBYE.code);
    await allClosed([peer], SIEGE_LIMITS.closeGraceMs);
  },
};
