// Sessions that are opened and dropped, again and again: neither memory nor handles may stay behind.

import type { Hostile } from "../../net/hostile/hostile_peer.ts";
import type { SiegeView } from "../../net/hostile/reports.ts";
import { hello } from "./attack.ts";

const AT_ONCE = 2;
const WARM_UP = 50;

/** Opens sessions `count` times, says hello in every second one, and drops each without a word. */
export async function openAndDrop(siege: SiegeView, hostile: Hostile, count: number): Promise<void> {
  await openSome(siege, hostile, WARM_UP);
  await siege.mark();
  await openSome(siege, hostile, count);
}

async function openSome({ target }: SiegeView, hostile: Hostile, count: number): Promise<void> {
  let opened = 0;
  const openOneByOne = async (): Promise<void> => {
    while (opened < count) {
      const isGreeting = opened++ % 2 === 0;
      const peer = await hostile.open(target);
      if (isGreeting) {
        await peer.openLanes();
        await peer.send(0, hello);
      }
      peer.drop();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, openOneByOne));
}
