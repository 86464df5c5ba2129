// Golden bytes of the messages between the members of a replica set (PROTOCOL.md, section 9), in hexadecimal.

import type { MessageVector } from "./message_vector.ts";

/** Channel "01" and epoch 3, as every message begins. */
const PLACE = "02003031" + "03000000";

export const MEMBER_MESSAGE_VECTORS: readonly MessageVector[] = [
  {
    message: {
      type: "voteRequest",
      channel: "01",
      epoch: 3,
      isPreVote: true,
      isTransfer: false,
      isDoubtful: true,
      end: { seq: 9, epoch: 2 },
    },
    hex: "1500000013" + PLACE + "05" + "0900000000000000" + "02000000",
  },
  {
    message: {
      type: "voteReply",
      channel: "01",
      epoch: 3,
      isPreVote: false,
      isGranted: true,
      isDoubtful: true,
      everyone: ["n1", "n2"],
    },
    hex: "1200000014" + PLACE + "06" + "02" + "02006e31" + "02006e32",
  },
  {
    message: {
      type: "memberState",
      channel: "01",
      epoch: 3,
      role: "leader",
      leader: "n1",
      end: { seq: 9_007_199_254_740_991, epoch: 3 },
      commit: 8,
    },
    hex: "2100000015" + PLACE + "03" + "02006e31" + "ffffffffffff1f00" + "03000000" + "0800000000000000",
  },
  {
    message: {
      type: "feedRequest",
      channel: "01",
      epoch: 3,
      requestId: 258,
      from: 10,
      epochBefore: 2,
      creditLimit: 65536,
    },
    hex: "2400000016" + PLACE + "0201000000000000" + "0a00000000000000" + "02000000" + "0000010000000000",
  },
  {
    message: { type: "feedNack", channel: "01", epoch: 3, requestId: 258, code: "diverged", seq: 7, epochAt: 1 },
    hex: "1d00000017" + PLACE + "0201000000000000" + "02" + "0700000000000000" + "01000000",
  },
  {
    message: {
      type: "entries",
      channel: "01",
      epoch: 3,
      requestId: 258,
      from: 10,
      epochBefore: 2,
      end: { seq: 12, epoch: 3 },
      commit: 9,
      frames: Uint8Array.of(1, 2, 3),
    },
    hex: "3300000018" + PLACE + "0201000000000000" + "0a00000000000000" + "02000000" + "0c00000000000000" +
      "03000000" + "0900000000000000" + "010203",
  },
  {
    message: {
      type: "feedAck",
      channel: "01",
      epoch: 3,
      requestId: 258,
      writtenSeq: 12,
      syncedSeq: 11,
      commit: 9,
      creditLimit: 65536,
    },
    hex: "3000000019" + PLACE + "0201000000000000" + "0c00000000000000" + "0b00000000000000" + "0900000000000000" +
      "0000010000000000",
  },
  { message: { type: "succeed", channel: "01", epoch: 3 }, hex: "080000001a" + PLACE },
];
