import { describe, expect, test } from "bun:test";
import { AssertionError } from "../../src/lib/assert.ts";
import { Watermark } from "../../src/lib/watermark.ts";

describe("Watermark", () => {
  test("wakes those whose target is reached, in the order they came, and leaves the others waiting", async () => {
    const mark = new Watermark(1);
    const woken: string[] = [];
    const note = (name: string) => () => void woken.push(name);
    const waits = [mark.reached(3).then(note("a")), mark.reached(2).then(note("b")), mark.reached(5).then(note("c"))];
    mark.advance(3);
    await Promise.all(waits.slice(0, 2));
    expect(woken).toEqual(["a", "b"]);
    expect(mark.waiting).toBe(1);
    mark.advance(9);
    await waits[2];
    expect(woken).toEqual(["a", "b", "c"]);
    expect(mark.value).toBe(9);
  });

  test("resolves at once for what is already reached", async () => {
    await new Watermark(4).reached(4);
  });

  test("never goes back", () => {
    const mark = new Watermark(4);
    mark.advance(4);
    expect(() => mark.advance(3)).toThrow(AssertionError);
    expect(mark.value).toBe(4);
  });

  test("a failure ends present and future waits with its reason, the first one counts", async () => {
    const mark = new Watermark(1);
    const waiting = mark.reached(2);
    mark.fail(new Error("disk"));
    mark.fail(new Error("later"));
    await expect(waiting).rejects.toThrow("disk");
    await expect(mark.reached(7)).rejects.toThrow("disk");
    await mark.reached(1);
  });

  test("an aborted wait rejects with the signal's reason and leaves nothing behind", async () => {
    const mark = new Watermark(1);
    const controller = new AbortController();
    const waiting = mark.reached(2, controller.signal);
    controller.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    expect(mark.waiting).toBe(0);
    await expect(mark.reached(2, controller.signal)).rejects.toThrow("enough");
    await mark.reached(1, controller.signal);
  });

  test("an abort after the wait has ended changes nothing", async () => {
    const mark = new Watermark(1);
    const controller = new AbortController();
    const waiting = mark.reached(2, controller.signal);
    mark.advance(2);
    controller.abort(new Error("late"));
    await waiting;
  });
});
