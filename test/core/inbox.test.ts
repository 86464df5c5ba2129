import { describe, expect, test } from "bun:test";
import { Inbox } from "../../src/core/inbox.ts";

const make = () => new Inbox<string>({ urgentItemsMax: 2, ordinaryItemsMax: 3, ordinaryBytesMax: 100 });

describe("Inbox", () => {
  test("gives urgent items first, each kind in the order in which it came", () => {
    const inbox = make();
    expect([inbox.offer("a"), inbox.offerUrgent("x"), inbox.offer("b"), inbox.offerUrgent("y")])
      .toEqual([true, true, true, true]);
    expect(inbox.size).toBe(4);
    expect([inbox.take(), inbox.take(), inbox.take(), inbox.take(), inbox.take()])
      .toEqual(["x", "y", "a", "b", undefined]);
  });

  test("hands back what finds its queue full, and takes more when there is room", () => {
    const inbox = make();
    expect([1, 2, 3].map((at) => inbox.offerUrgent(`u${at}`))).toEqual([true, true, false]);
    expect([1, 2, 3, 4].map((at) => inbox.offer(`o${at}`))).toEqual([true, true, true, false]);
    expect(inbox.take()).toBe("u1");
    expect([inbox.offer("o5"), inbox.offerUrgent("u4")]).toEqual([false, true]);
  });

  test("counts the bytes of ordinary items, and takes one item whatever its size", () => {
    const inbox = make();
    expect([inbox.offer("large", 500), inbox.offer("small", 1), inbox.offer("empty")]).toEqual([true, false, false]);
    expect(inbox.take()).toBe("large");
    expect([inbox.offer("one", 60), inbox.offer("two", 41), inbox.offer("three", 40)]).toEqual([true, false, true]);
    expect([inbox.take(), inbox.take()]).toEqual(["one", "three"]);
    expect(inbox.offer("four", 100)).toBe(true);
  });

  test("forgets everything when it is cleared, its bytes too", () => {
    const inbox = make();
    inbox.offer("a", 100);
    inbox.offerUrgent("b");
    inbox.clear();
    expect([inbox.size, inbox.take(), inbox.offer("c", 100)]).toEqual([0, undefined, true]);
  });
});
