// A disk as one life of a node sees it: slow, full, failing, and gone with the life that used it. What is stored is a
// MemoryDisk, which outlives the node; how it is damaged while nobody looks is damage.ts.

import type { Disk, DiskFile, DiskLock } from "../../src/log/disk.ts";
import type { DiskOperation, MemoryDisk } from "../../src/log/disk.memory.ts";
import { StoreError } from "../../src/log/store_error.ts";
import type { SimRandom } from "./random.ts";
import type { NodeClock } from "./time.ts";

/** How a disk behaves; changed by the faults of a run while it is used. */
export interface DiskManners {
  /** Time of an operation, from and to. */
  latencyMs: readonly [number, number];
  /** Chances that an operation fails. */
  readErrors: number;
  writeErrors: number;
  /** After a failed sync the pages count as clean. */
  syncErrors: number;
}

export function goodManners(): DiskManners {
  return { latencyMs: [0.05, 1], readErrors: 0, writeErrors: 0, syncErrors: 0 };
}

export interface SimDiskOptions {
  readonly memory: MemoryDisk;
  readonly clock: NodeClock;
  readonly random: SimRandom;
  readonly manners: DiskManners;
  /** An operation was made to fail. */
  readonly onFault: (kind: string, path: string) => void;
  /** An operation has just been performed and nobody knows yet: a place to crash. */
  readonly onPerformed: (operation: DiskOperation, path: string) => void;
}

/** Never settles: the answer to whoever asks for something in a life that is over. */
function never<Value>(): Promise<Value> {
  return new Promise(() => {});
}

export class SimDisk implements Disk {
  readonly #options: SimDiskOptions;

  constructor(options: SimDiskOptions) {
    this.#options = options;
    options.memory.before = (operation, path) => this.#before(operation, path);
  }

  /** What `task` answers, unless the node's life ends meanwhile: then nothing, for ever. */
  async whileAlive<Value>(task: () => Promise<Value>, operation: DiskOperation, path: string): Promise<Value> {
    const { clock, onPerformed } = this.#options;
    if (!clock.isAlive) return await never();
    try {
      const value = await task();
      if (clock.isAlive) onPerformed(operation, path);
      return clock.isAlive ? value : await never();
    } catch (error) {
      if (clock.isAlive) throw error;
      return await never();
    }
  }

  allocate(byteLength: number): Uint8Array {
    return new Uint8Array(byteLength).fill(0xa5);
  }

  async open(path: string): Promise<DiskFile | undefined> {
    const file = await this.whileAlive(() => this.#options.memory.open(path), "open", path);
    return file && new SimFile(this, path, file);
  }

  async create(path: string): Promise<DiskFile> {
    return new SimFile(this, path, await this.whileAlive(() => this.#options.memory.create(path), "create", path));
  }

  makeDirectory(path: string): Promise<void> {
    return this.whileAlive(() => this.#options.memory.makeDirectory(path), "create", path);
  }

  list(path: string): Promise<string[]> {
    return this.whileAlive(() => this.#options.memory.list(path), "list", path);
  }

  rename(from: string, to: string): Promise<void> {
    return this.whileAlive(() => this.#options.memory.rename(from, to), "rename", from);
  }

  remove(path: string): Promise<void> {
    return this.whileAlive(() => this.#options.memory.remove(path), "remove", path);
  }

  removeDirectory(path: string): Promise<void> {
    return this.whileAlive(() => this.#options.memory.removeDirectory(path), "remove", path);
  }

  syncDirectory(path: string): Promise<void> {
    return this.whileAlive(() => this.#options.memory.syncDirectory(path), "syncDirectory", path);
  }

  lock(path: string): Promise<DiskLock> {
    return this.whileAlive(() => this.#options.memory.lock(path), "open", path);
  }

  /** Waits as long as the disk takes, and fails where the disk does. */
  async #before(operation: DiskOperation, path: string): Promise<void> {
    const { clock, random, manners } = this.#options;
    const [from, to] = manners.latencyMs;
    await new Promise<void>((resolve) => clock.afterTrue(random.skewed(from, to), resolve));
    if (operation === "read") this.#fail(manners.readErrors, "read error", path);
    if (operation === "write") this.#fail(manners.writeErrors, "write error", path);
    if (operation === "sync" || operation === "syncDirectory") this.#fail(manners.syncErrors, "fsync error", path);
  }

  #fail(chance: number, kind: string, path: string): void {
    if (chance === 0 || !this.#options.random.chance(chance)) return;
    this.#options.onFault(kind, path);
    throw new StoreError("failed", `${kind} on ${path}: EIO`);
  }
}

class SimFile implements DiskFile {
  readonly #disk: SimDisk;
  readonly #path: string;
  readonly #file: DiskFile;

  constructor(disk: SimDisk, path: string, file: DiskFile) {
    this.#disk = disk;
    this.#path = path;
    this.#file = file;
  }

  write(position: number, parts: readonly Uint8Array[]): Promise<void> {
    return this.#disk.whileAlive(() => this.#file.write(position, parts), "write", this.#path);
  }

  read(position: number, into: Uint8Array): Promise<number> {
    return this.#disk.whileAlive(() => this.#file.read(position, into), "read", this.#path);
  }

  sync(): Promise<void> {
    return this.#disk.whileAlive(() => this.#file.sync(), "sync", this.#path);
  }

  truncate(size: number): Promise<void> {
    return this.#disk.whileAlive(() => this.#file.truncate(size), "truncate", this.#path);
  }

  size(): Promise<number> {
    return this.#disk.whileAlive(() => this.#file.size(), "open", this.#path);
  }

  close(): Promise<void> {
    return this.#disk.whileAlive(() => this.#file.close(), "open", this.#path);
  }
}
