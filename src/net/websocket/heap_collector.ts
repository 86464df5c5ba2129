// What clients send is most of what dies on the heap of a server. With much memory in the machine Bun's collector lets the dead
// grow to twice the living before it looks at all of them: the resident memory of a server to which 4 GiB were appended grew by
// 100 MiB after the first 100 MiB, and by 32 with this (the benchmark `memory`).

/** Bytes that come between two collections. */
export const RECEIVED_BYTES_MAX = 64 << 20;
/** Where more is on the heap, the living may be so many that a collection at one go, 0.3 ms for each MiB of them, takes too long. */
export const HEAP_BYTES_MAX = 192 << 20;

/** The parts of `bun:jsc` that are used here. */
export interface Heap {
  /** Bytes on the heap, and in the buffers that belong to it. */
  heapSize(): number;
  /** Lets go of all that is dead, before it returns. */
  fullGC(): void;
}

/** Has the heap collected once much has come, while it is small. */
export class HeapCollector {
  readonly #heap: Heap;
  #receivedBytes = 0;

  constructor(heap: Heap) {
    this.#heap = heap;
  }

  /** Notes that `byteLength` bytes came: about 10 ms longer where it collects. */
  received(byteLength: number): void {
    this.#receivedBytes += byteLength;
    if (this.#receivedBytes < RECEIVED_BYTES_MAX) return;
    this.#receivedBytes = 0;
    if (this.#heap.heapSize() <= HEAP_BYTES_MAX) this.#heap.fullGC();
  }
}
