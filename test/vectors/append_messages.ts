// Golden bytes of the messages by which is appended over a session (PROTOCOL.md, section 5.6), in hexadecimal.

import type { MessageVector } from "./message_vector.ts";

/** An entry "ab" without a place. The decoder does not look into it. */
const FRAME = "02000000" + "d605b9ed" + "00".repeat(12) + "01" + "00".repeat(11) + "6162";
const FRAME_BYTES = Uint8Array.from(FRAME.match(/../g)!, (pair) => parseInt(pair, 16));

export const APPEND_MESSAGE_VECTORS: readonly MessageVector[] = [
  {
    message: {
      type: "append",
      requestId: 258,
      channel: "a/b",
      ack: "quorum",
      isSynced: true,
      expectNextSeq: 5,
      producer: { id: "p1", epoch: 3, seq: 7 },
      frames: FRAME_BYTES,
    },
    hex: "4d0000001b" + "0201000000000000" + "02" + "01" + "0500000000000000" + "02007031" + "0300000000000000" +
      "0700000000000000" + "0300612f62" + FRAME,
  },
  {
    message: {
      type: "append",
      requestId: 1,
      channel: "log",
      ack: "none",
      isSynced: false,
      expectNextSeq: 0,
      producer: undefined,
      frames: FRAME_BYTES,
    },
    hex: "4b0000001b" + "0100000000000000" + "00" + "00" + "0000000000000000" + "0000" + "0000000000000000" +
      "0000000000000000" + "03006c6f67" + FRAME,
  },
  {
    message: {
      type: "appended",
      requestId: 258,
      firstSeq: 5,
      lastSeq: 6,
      epoch: 2,
      isDuplicate: true,
      achieved: "all",
      copies: 3,
      synced: 2,
    },
    hex: "220000001c" + "0201000000000000" + "0500000000000000" + "0600000000000000" + "02000000" + "01" + "03" +
      "0300" + "0200",
  },
  {
    message: { type: "appendRefused", requestId: 258, problem: `{"code":"x"}` },
    hex: "160000001d" + "0201000000000000" + "0c00" + "7b22636f6465223a2278227d",
  },
];
