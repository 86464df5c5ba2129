// Puts what comes on the disk for good with no work beside that: writes of at least 1 MiB, one fdatasync for each 4 MiB while what
// follows is written already, as a log does. What a pump reaches with it is the most that a durable replica could.

import type { DiskFile } from "../../../src/log/disk.ts";
import { NodeDisk } from "../../../src/log/disk.node.ts";

const WRITE_BYTES_MIN = 1 << 20;
const SYNC_BYTES = 4 << 20;

export class SyncedFile {
  readonly #file: Promise<DiskFile>;
  #writtenBytes = 0;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #unsyncedBytes = 0;
  #running: Promise<void> | undefined;
  #syncing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#file = new NodeDisk().create(path);
  }

  push(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.byteLength;
    if (this.#queuedBytes >= WRITE_BYTES_MIN) this.#running ??= this.#run(WRITE_BYTES_MIN);
  }

  /** Resolves once all is synced. */
  async finish(): Promise<void> {
    await this.#running;
    await this.#run(1);
    await this.#syncing;
    await (await this.#file).sync();
  }

  async #run(bytesMin: number): Promise<void> {
    const file = await this.#file;
    while (this.#queuedBytes >= bytesMin) {
      const parts = this.#queue;
      const position = this.#writtenBytes;
      this.#writtenBytes += this.#queuedBytes;
      this.#unsyncedBytes += this.#queuedBytes;
      this.#queue = [];
      this.#queuedBytes = 0;
      await file.write(position, parts);
      if (this.#unsyncedBytes < SYNC_BYTES) continue;
      await this.#syncing;
      this.#unsyncedBytes = 0;
      this.#syncing = file.sync();
    }
    this.#running = undefined;
  }
}
