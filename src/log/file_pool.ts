// Open files, shared and bounded: ten thousand idle logs must not hold ten thousand descriptors. A file that is removed or
// closed while someone uses it is closed after the last use.

import { StoreError } from "./store_error.ts";
import type { Disk, DiskFile } from "./disk.ts";

interface PooledFile {
  readonly opening: Promise<DiskFile>;
  users: number;
  /** Nobody finds this entry any more; the last user closes the file. */
  forgotten: boolean;
}

export class FilePool {
  readonly #disk: Disk;
  readonly #openMax: number;
  /** In order of last use, oldest first. */
  readonly #files = new Map<string, PooledFile>();

  constructor(disk: Disk, openMax: number) {
    this.#disk = disk;
    this.#openMax = openMax;
  }

  get size(): number {
    return this.#files.size;
  }

  /** Puts a file that is open already into the pool. */
  adopt(path: string, file: DiskFile): void {
    this.forget(path);
    this.#files.set(path, { opening: Promise.resolve(file), users: 0, forgotten: false });
    this.#evict();
  }

  /**
   * Runs `task` with the open file. The file stays open at least until it is done.
   * @throws StoreError `damaged` where there is no such file: whoever asks has reason to know that there was one.
   */
  async use<Value>(path: string, task: (file: DiskFile) => Promise<Value>): Promise<Value> {
    const pooled = this.#files.get(path) ?? this.#open(path);
    pooled.users++;
    try {
      const file = await pooled.opening;
      return await task(file);
    } finally {
      pooled.users--;
      if (pooled.forgotten) this.#closeUnused(pooled);
      else {
        this.#files.delete(path);
        this.#files.set(path, pooled);
        this.#evict();
      }
    }
  }

  /** Closes the file once nobody uses it. */
  forget(path: string): void {
    const pooled = this.#files.get(path);
    if (!pooled) return;
    this.#files.delete(path);
    pooled.forgotten = true;
    this.#closeUnused(pooled);
  }

  /** Forgets every file of a directory. */
  forgetWithin(directory: string): void {
    for (const path of [...this.#files.keys()]) if (path.startsWith(`${directory}/`)) this.forget(path);
  }

  #open(path: string): PooledFile {
    const opening = this.#disk.open(path).then((file) => {
      if (!file) throw new StoreError("damaged", `${path} is missing`);
      return file;
    });
    const pooled: PooledFile = { opening, users: 0, forgotten: false };
    this.#files.set(path, pooled);
    opening.catch(() => {
      pooled.forgotten = true;
      if (this.#files.get(path) === pooled) this.#files.delete(path);
    });
    return pooled;
  }

  #evict(): void {
    if (this.#files.size <= this.#openMax) return;
    for (const [path, pooled] of this.#files) {
      if (pooled.users > 0) continue;
      this.forget(path);
      if (this.#files.size <= this.#openMax) return;
    }
  }

  #closeUnused(pooled: PooledFile): void {
    if (pooled.users > 0) return;
    pooled.opening.then((file) => file.close()).catch(() => {});
  }
}
