// Turns to write for the streams of a session over HTTP/2. The package's own order is strict: a lane that always has something to
// write lets no lesser one write ever (47 MiB of control, none of log). Here one turn in some goes to who waited longest.

import type { CapsuleParser } from "./fails_package.node.ts";

/** One turn of this many is given to the stream that waited longest; a turn is one write of a lane. */
const TURNS = 8;

/** Above the order of every lane. */
const FIRST = 1 << 20;

/** Shares the turns of a session; the answer tells the order of a stream. */
export function shareTurns({ scheduler, wtstreams }: CapsuleParser): (id: bigint, sendOrder: number) => void {
  const orders = new Map<bigint, number>();
  const servedAt = new Map<bigint, number>();
  let turn = 0;
  const longestWaiting = (): bigint | undefined => {
    const waiting = [...wtstreams.keys()].filter((id) => orders.has(id) && scheduler.IsScheduled(id));
    return waiting.sort((one, other) => (servedAt.get(one) ?? 0) - (servedAt.get(other) ?? 0))[0];
  };
  const popFront = scheduler.PopFront.bind(scheduler);
  scheduler.PopFront = () => {
    turn++;
    const favoured = turn % TURNS === 0 ? longestWaiting() : undefined;
    if (favoured !== undefined) scheduler.UpdateSendOrder(favoured, FIRST);
    const id = popFront();
    if (favoured !== undefined) scheduler.UpdateSendOrder(favoured, orders.get(favoured)!);
    if (id !== undefined) servedAt.set(id, turn);
    return id;
  };
  return (id, sendOrder) => void orders.set(id, sendOrder);
}
