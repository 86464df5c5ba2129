// Puts what comes on the disk for good with no work beside that: writes of at least 1 MiB, one fdatasync for each 4 MiB while what
// follows is written already, as a log does. What a pump reaches with it is the most that a durable replica could.

import { fdatasync, openSync, writev } from "node:fs";
import { promisify } from "node:util";

const WRITE_BYTES_MIN = 1 << 20;
const SYNC_BYTES = 4 << 20;

const write = promisify(writev);
const sync = promisify(fdatasync);

export class SyncedFile {
  readonly #file: number;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #unsyncedBytes = 0;
  #running: Promise<void> | undefined;
  #syncing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#file = openSync(path, "w");
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
    await sync(this.#file);
  }

  async #run(bytesMin: number): Promise<void> {
    while (this.#queuedBytes >= bytesMin) {
      const parts = this.#queue;
      this.#unsyncedBytes += this.#queuedBytes;
      this.#queue = [];
      this.#queuedBytes = 0;
      await write(this.#file, parts);
      if (this.#unsyncedBytes < SYNC_BYTES) continue;
      await this.#syncing;
      this.#unsyncedBytes = 0;
      this.#syncing = sync(this.#file);
    }
    this.#running = undefined;
  }
}
