import { describe, expect, test } from "bun:test";
import { Broadcast, type Heard } from "../../src/lib/broadcast.ts";

async function all<Value>(heard: AsyncIterable<Heard<Value>>): Promise<Heard<Value>[]> {
  return await Array.fromAsync(heard);
}

describe("a broadcast", () => {
  test("passes values on from the call of subscribe, to everyone, in order", async () => {
    const broadcast = new Broadcast<number>(10);
    broadcast.publish(0);
    const abort = new AbortController();
    const listeners = [broadcast.subscribe(abort.signal), broadcast.subscribe(abort.signal)];
    for (const value of [1, 2, 3]) broadcast.publish(value);
    const heard = listeners.map(all);
    broadcast.publish(4);
    abort.abort();
    const values = [1, 2, 3, 4].map((value) => ({ value }));
    expect(await Promise.all(heard)).toEqual([values, values]);
    expect(broadcast.subscriberCount).toBe(0);
  });

  test("keeps no more than its bound, and says how many are gone", async () => {
    const broadcast = new Broadcast<number>(3);
    const abort = new AbortController();
    const slow = broadcast.subscribe(abort.signal);
    for (let value = 1; value <= 10; value++) broadcast.publish(value);
    abort.abort();
    expect(await all(slow)).toEqual([{ missed: 8 }, { value: 9 }, { value: 10 }]);
  });

  test("forgets a listener that leaves its loop", async () => {
    const broadcast = new Broadcast<number>(3);
    const listener = broadcast.subscribe();
    broadcast.publish(1);
    for await (const _ of listener) break;
    expect(broadcast.subscriberCount).toBe(0);
    broadcast.publish(2);
  });

  test("forgets a listener whose signal aborts, though it never reads, or stopped reading", async () => {
    const broadcast = new Broadcast<number>(3);
    const [unread, halfRead, other] = [new AbortController(), new AbortController(), new AbortController()];
    broadcast.subscribe(other.signal, unread.signal);
    const half = broadcast.subscribe(halfRead.signal);
    broadcast.publish(1);
    expect(await half.next()).toEqual({ done: false, value: { value: 1 } });
    expect(broadcast.subscriberCount).toBe(2);
    unread.abort();
    halfRead.abort();
    expect(broadcast.subscriberCount).toBe(0);
    broadcast.publish(2);
    expect(await half.next()).toEqual({ done: true, value: undefined });
    expect(await all(broadcast.subscribe(halfRead.signal))).toEqual([]);
  });
});
