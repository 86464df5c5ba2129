// Golden bytes of every message (PROTOCOL.md, section 5), in hexadecimal. They never change within a protocol version.

import { APPEND_MESSAGE_VECTORS } from "./append_messages.ts";
import { MEMBER_MESSAGE_VECTORS } from "./member_messages.ts";
import type { MessageVector } from "./message_vector.ts";

export const MESSAGE_VECTORS: readonly MessageVector[] = [
  {
    message: { type: "hello", versionMin: 1, versionMax: 2, kind: "browser", id: "tab-1", agent: "x/1", token: "" },
    hex: "1700000001" + "4d524c48" + "0100" + "0200" + "02" + "05007461622d31" + "0300782f31" + "0000",
  },
  {
    message: {
      type: "welcome",
      version: 1,
      nodeId: "n1",
      sessionId: "s9",
      heartbeatMs: 2000,
      subscriptionsMax: 1000,
    },
    hex: "1200000002" + "0100" + "02006e31" + "02007339" + "d0070000" + "e8030000",
  },
  {
    message: { type: "goodbye", code: "draining", reason: "ü" },
    hex: "0e00000003" + "0800647261696e696e67" + "0200c3bc",
  },
  {
    message: {
      type: "heartbeat",
      wallClock: 1_700_000_000_000,
      positions: [{ subscription: 1, commit: 9 }, { subscription: 2, commit: 9_007_199_254_740_991 }],
    },
    hex: "2200000004" + "0068e5cf8b010000" + "0200" + "01000000" + "0900000000000000" + "02000000" + "ffffffffffff1f00",
  },
  {
    message: {
      type: "syncRequest",
      requestId: 258,
      subscription: 7,
      channel: "a/b",
      incarnation: "01",
      from: 5,
      lastEpoch: 3,
      creditLimit: 4096,
      class: "background",
    },
    hex: "2a00000005" + "0201000000000000" + "07000000" + "0300612f62" + "02003031" + "0500000000000000" + "03000000" +
      "0010000000000000" + "01",
  },
  {
    message: {
      type: "syncAccept",
      requestId: 258,
      subscription: 7,
      incarnation: "01",
      from: 5,
      firstSeq: 1,
      commit: 8,
      epochBefore: 3,
      timestampBefore: 255,
      chainBefore: 0xdeadbeef,
    },
    hex: "3800000006" + "0201000000000000" + "07000000" + "02003031" + "0500000000000000" + "0100000000000000" +
      "0800000000000000" + "03000000" + "ff00000000000000" + "efbeadde",
  },
  {
    message: { type: "syncNack", requestId: 1, subscription: 2, code: "diverged", seq: 4, epoch: 5, detail: "no" },
    hex: "1d00000007" + "0100000000000000" + "02000000" + "05" + "0400000000000000" + "05000000" + "02006e6f",
  },
  { message: { type: "unsubscribe", subscription: 3 }, hex: "0400000008" + "03000000" },
  {
    message: { type: "ack", subscription: 3, ackedSeq: 10, creditLimit: 65536 },
    hex: "140000000a" + "03000000" + "0a00000000000000" + "0000010000000000",
  },
  {
    message: { type: "commit", positions: [{ subscription: 3, commit: 11 }] },
    hex: "0e0000000b" + "0100" + "03000000" + "0b00000000000000",
  },
  {
    message: {
      type: "peerHello",
      versionMin: 1,
      versionMax: 1,
      clusterId: "c",
      id: "a",
      expectedId: "b",
      instance: "i",
      agent: "x",
      nonce: new Uint8Array(32).fill(1),
      serverHash: new Uint8Array(0),
      certificate: Uint8Array.of(9),
    },
    hex: "3e0000000c" + "4d524c50" + "0100" + "0100" + "010063" + "010061" + "010062" + "010069" + "010078" +
      "2000" + "01".repeat(32) + "0000" + "010009",
  },
  {
    message: {
      type: "peerWelcome",
      version: 1,
      id: "b",
      instance: "j",
      agent: "x",
      nonce: new Uint8Array(32).fill(2),
      certificate: Uint8Array.of(8),
      signature: Uint8Array.of(7, 6),
      heartbeatMs: 100,
    },
    hex: "380000000d" + "0100" + "010062" + "01006a" + "010078" + "2000" + "02".repeat(32) + "010008" + "02000706" +
      "64000000",
  },
  { message: { type: "peerProof", signature: Uint8Array.of(5) }, hex: "030000000e" + "010005" },
  { message: { type: "peerReady", sessionId: "s" }, hex: "030000000f" + "010073" },
  {
    message: { type: "peerHeartbeat", wallClock: 1_700_000_000_000, beat: 3 },
    hex: "1000000010" + "0068e5cf8b010000" + "0300000000000000",
  },
  { message: { type: "peerEcho", beat: 3 }, hex: "0800000011" + "0300000000000000" },
  {
    message: {
      type: "peerMessage",
      kind: "reply",
      requestId: 2,
      target: "a",
      command: "sum",
      payload: Uint8Array.of(1, 2, 3),
    },
    hex: "1800000012" + "02" + "0200000000000000" + "010061" + "030073756d" + "03000000" + "010203",
  },
  ...MEMBER_MESSAGE_VECTORS,
  ...APPEND_MESSAGE_VECTORS,
];
