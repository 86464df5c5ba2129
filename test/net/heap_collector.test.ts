import { describe, expect, test } from "bun:test";
import process from "node:process";
import {
  type Heap,
  HEAP_BYTES_MAX,
  HeapCollector,
  RECEIVED_BYTES_MAX,
} from "../../src/net/websocket/heap_collector.ts";

const MIB = 1 << 20;
const isBun = "Bun" in globalThis;

/** A heap of `byteLength` bytes that counts how often it is collected. */
class CountedHeap implements Heap {
  collections = 0;
  byteLength = 30 * MIB;

  heapSize(): number {
    return this.byteLength;
  }

  fullGC(): void {
    this.collections++;
  }
}

describe("collecting the heap of a server", () => {
  test("once for each so many bytes that came", () => {
    const heap = new CountedHeap();
    const collector = new HeapCollector(heap);
    for (let came = MIB; came < RECEIVED_BYTES_MAX; came += MIB) collector.received(MIB);
    expect(heap.collections).toBe(0);
    collector.received(MIB);
    expect(heap.collections).toBe(1);
    collector.received(RECEIVED_BYTES_MAX - 1);
    expect(heap.collections).toBe(1);
    collector.received(RECEIVED_BYTES_MAX);
    expect(heap.collections).toBe(2);
  });

  test("not while so much is on it that it would take long, and again afterwards", () => {
    const heap = new CountedHeap();
    const collector = new HeapCollector(heap);
    heap.byteLength = HEAP_BYTES_MAX + 1;
    collector.received(RECEIVED_BYTES_MAX);
    expect(heap.collections).toBe(0);
    heap.byteLength = HEAP_BYTES_MAX;
    collector.received(RECEIVED_BYTES_MAX);
    expect(heap.collections).toBe(1);
  });

  test.skipIf(!isBun)("lets go of the dead at once (only where the server has a heap to collect: Bun)", () => {
    const heap = process.getBuiltinModule("bun:jsc") as unknown as Heap;
    const collector = new HeapCollector(heap);
    const held = Array.from({ length: 20 }, (_, index) => new Uint8Array(MIB).fill(index));
    collector.received(RECEIVED_BYTES_MAX);
    const full = heap.heapSize();
    expect(full).toBeGreaterThan(held.length * MIB);
    held.length = 0;
    collector.received(RECEIVED_BYTES_MAX);
    expect(heap.heapSize()).toBeLessThan(full - 15 * MIB);
  });
});
