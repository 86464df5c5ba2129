// Attacks by not reading what the listener sends.

import { Lane } from "../../../src/net/session.ts";
import type { SyncRequest } from "../../../src/wire/session_messages.ts";
import { SIEGE_LIMITS } from "../../net/hostile/siege.ts";
import { type Attack, ended, hello, repeat, say } from "./attack.ts";

/** A peer that does not read learns of its end late or never, so only the listener's side is waited for. */
function notReading(how: "never" | "slowly"): Attack {
  return {
    serve: "flood",
    run: async (siege, hostile) => {
      const peer = await hostile.open(siege.target);
      peer.stopReading(how);
      await peer.openLanes();
      await peer.grantAll();
      await peer.send(Lane.ack, new Uint8Array(1));
      // It is heard all the time, so that it is not its silence that ends it.
      const talking = setInterval(() => void peer.send(Lane.ack, new Uint8Array(1)), 50);
      try {
        await ended(siege, 1, SIEGE_LIMITS.stalledSendMs * 2, "stalled-reader");
      } finally {
        clearInterval(talking);
        peer.drop();
      }
    },
  };
}

export const neverReading: Attack = notReading("never");
export const readingSlowly: Attack = notReading("slowly");

const REQUEST: SyncRequest = {
  type: "syncRequest",
  requestId: 1,
  subscription: 1,
  channel: "x".repeat(200),
  incarnation: "",
  from: 0,
  lastEpoch: 0,
  creditLimit: 1 << 20,
  class: "foreground",
};

/** Every question is answered on the control lane, which is never held back: what waits there has a bound of its own. */
export const neverReadingAnswers: Attack = {
  // 1 MiB of answers may wait, and each waits in the lane's queue or in its stream.
  bounds: { heldBytes: 3 << 20, queuedBytes: 3 << 20 },
  limits: { idleTimeoutMs: 5000, stalledSendMs: 1500 },
  serve: "greet",
  run: async (siege, hostile) => {
    const peer = await hostile.open(siege.target);
    await peer.openLanes();
    await peer.grantAll();
    await peer.send(Lane.control, hello);
    peer.stopReading("never");
    try {
      await repeat(200_000, () => say(peer, REQUEST), () => siege.state.ends.length > 0);
      // Who reads nothing sees no grants either, and asks beyond its window in the end.
      await ended(siege, 1, 3000, "backpressure", "stalled-reader", "lane-overflow");
    } finally {
      peer.drop();
    }
  },
};
