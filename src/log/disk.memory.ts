// A disk in memory that loses what a real one may lose: unsynced content sector by sector, unsynced names one by one. Serves
// tests and simulations; all chance comes from the caller.

import type { Random } from "../core/environment.ts";
import type { Disk, DiskFile, DiskLock } from "./disk.ts";
import { MemoryFileContent } from "./memory_file.ts";
import { StoreError } from "./store_error.ts";

export type DiskOperation =
  | "open"
  | "create"
  | "list"
  | "rename"
  | "remove"
  | "syncDirectory"
  | "write"
  | "read"
  | "sync"
  | "truncate";

export interface MemoryDiskOptions {
  /** Called before each operation; may throw a StoreError to make it fail, or wait. */
  readonly before?: (operation: DiskOperation, path: string) => void | Promise<void>;
  /** Bytes that fit all files together. */
  readonly capacityBytes?: number;
}

type NameChange =
  | { readonly kind: "create"; readonly path: string; readonly content: MemoryFileContent }
  | { readonly kind: "remove"; readonly path: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string };

type Names = Map<string, MemoryFileContent>;

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/", path.length - 2));
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function applyChange(names: Names, change: NameChange): void {
  if (change.kind === "create") names.set(change.path, change.content);
  else if (change.kind === "remove") names.delete(change.path);
  else {
    for (const [path, content] of [...names]) {
      if (!isWithin(path, change.from)) continue;
      names.delete(path);
      names.set(change.to + path.slice(change.from.length), content);
    }
  }
}

class MemoryFile implements DiskFile {
  readonly #disk: MemoryDisk;
  readonly #path: string;
  readonly #content: MemoryFileContent;

  constructor(disk: MemoryDisk, path: string, content: MemoryFileContent) {
    this.#disk = disk;
    this.#path = path;
    this.#content = content;
  }

  write(position: number, parts: readonly Uint8Array[]): Promise<void> {
    return this.#disk.perform("write", this.#path, () => this.#write(position, parts));
  }

  read(position: number, into: Uint8Array): Promise<number> {
    return this.#disk.perform("read", this.#path, () => this.#content.read(position, into));
  }

  /** What is written while a sync is under way is not among what it syncs. */
  sync(): Promise<void> {
    const count = this.#content.pendingCount;
    const forget = () => this.#disk.isOn && this.#content.forgetUnsynced();
    return this.#disk.perform("sync", this.#path, () => this.#content.sync(count), forget);
  }

  truncate(size: number): Promise<void> {
    return this.#disk.perform("truncate", this.#path, () => this.#content.truncate(size));
  }

  #write(position: number, parts: readonly Uint8Array[]): void {
    let room = this.#disk.room + Math.max(0, this.#content.size - position);
    let at = position;
    for (const part of parts) {
      const fitting = part.subarray(0, room);
      this.#content.write(at, [fitting]);
      room -= fitting.byteLength;
      at += fitting.byteLength;
      if (fitting.byteLength < part.byteLength) throw new StoreError("disk-full", `write of ${this.#path}: ENOSPC`);
    }
  }

  size(): Promise<number> {
    return Promise.resolve(this.#content.size);
  }

  async close(): Promise<void> {}
}

/** See the file head. Files are looked into and damaged by their paths. */
export class MemoryDisk implements Disk {
  readonly #live: Names = new Map();
  readonly #durable: Names = new Map();
  readonly #locks = new Set<string>();
  #changes: NameChange[] = [];
  #failing: { operation: DiskOperation; error: StoreError }[] = [];
  #crashed = false;
  /** Called before each operation; may throw a StoreError to make it fail, wait, or switch the machine off. */
  before: (operation: DiskOperation, path: string) => void | Promise<void>;
  /** Bytes that fit all files together; may be changed at any time. */
  capacityBytes: number;
  /** Operations begun so far. */
  operations = 0;

  constructor(options: MemoryDiskOptions = {}) {
    this.before = options.before ?? (() => {});
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Whether this is the disk of a running machine. */
  get isOn(): boolean {
    return !this.#crashed;
  }

  get room(): number {
    let used = 0;
    for (const content of this.#live.values()) used += content.size;
    return Math.max(0, this.capacityBytes - used);
  }

  /** Makes the next `operation` fail with `error`. */
  failNext(operation: DiskOperation, error = new StoreError("failed", `${operation} failed: EIO`)): void {
    this.#failing.push({ operation, error });
  }

  /** Size of a file in bytes; `undefined` where there is none. */
  sizeOf(path: string): number | undefined {
    return this.#live.get(path)?.size;
  }

  /** The content of a file, to be looked into, damaged or replaced. */
  contentOf(path: string): MemoryFileContent {
    const content = this.#live.get(path);
    if (!content) throw new StoreError("failed", `there is no ${path}`);
    return content;
  }

  /** All paths, sorted. */
  paths(): string[] {
    return [...this.#live.keys()].sort();
  }

  /**
   * The disk after a power cut: what was synced, and of the rest whatever chance keeps. This one answers no more.
   * `keepShare` is the share of unsynced sectors and names that survive.
   */
  crash(random: Random, keepShare = 0.5): MemoryDisk {
    const keep = () => random.next() < keepShare;
    const names: Names = new Map(this.#durable);
    for (const change of this.#changes) if (keep()) applyChange(names, change);
    this.#crashed = true;
    const next = new MemoryDisk();
    for (const [path, content] of names) {
      const survivor = content.afterCrash(keep);
      next.#live.set(path, survivor);
      next.#durable.set(path, survivor);
    }
    return next;
  }

  /** The disk after `kill -9` of the process: all that was written is seen, what was unsynced still is. This one answers no more. */
  kill(): MemoryDisk {
    this.#crashed = true;
    const next = new MemoryDisk();
    for (const [path, content] of this.#live) next.#live.set(path, content);
    for (const [path, content] of this.#durable) next.#durable.set(path, content);
    next.#changes = this.#changes;
    return next;
  }

  /** Does one operation, or fails it: `effect` happens at once and whole, or not at all; `failed` is what a failure does. */
  async perform<Value>(
    operation: DiskOperation,
    path: string,
    effect: () => Value,
    failed: () => unknown = () => {},
  ): Promise<Value> {
    this.#checkOn(operation, path);
    this.operations++;
    try {
      await this.before(operation, path);
      this.#checkOn(operation, path);
      const index = this.#failing.findIndex((failure) => failure.operation === operation);
      if (index >= 0) throw this.#failing.splice(index, 1)[0]!.error;
    } catch (error) {
      failed();
      throw error;
    }
    return effect();
  }

  allocate(byteLength: number): Uint8Array {
    return new Uint8Array(byteLength);
  }

  open(path: string): Promise<DiskFile | undefined> {
    return this.perform("open", path, () => {
      const content = this.#live.get(path);
      return content && new MemoryFile(this, path, content);
    });
  }

  create(path: string): Promise<DiskFile> {
    return this.perform("create", path, () => {
      const existing = this.#live.get(path);
      if (existing) existing.truncate(0);
      else this.#change({ kind: "create", path, content: new MemoryFileContent() });
      return new MemoryFile(this, path, this.#live.get(path)!);
    });
  }

  /** Directories are not modelled apart from the paths of their files, so an empty one needs a trace: a name ending in "/". */
  makeDirectory(path: string): Promise<void> {
    const trace = new MemoryFileContent();
    this.#live.set(`${path}/`, trace);
    this.#durable.set(`${path}/`, trace);
    return Promise.resolve();
  }

  list(path: string): Promise<string[]> {
    return this.perform("list", path, () => {
      const names = new Set<string>();
      for (const candidate of this.#live.keys()) {
        if (candidate.startsWith(`${path}/`)) names.add(candidate.slice(path.length + 1).split("/")[0]!);
      }
      names.delete("");
      return [...names];
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.perform("rename", from, () => this.#change({ kind: "rename", from, to }));
  }

  remove(path: string): Promise<void> {
    return this.perform("remove", path, () => {
      if (this.#live.has(path)) this.#change({ kind: "remove", path });
    });
  }

  removeDirectory(path: string): Promise<void> {
    return this.remove(`${path}/`);
  }

  syncDirectory(path: string): Promise<void> {
    return this.perform("syncDirectory", path, () => {
      const within = (change: NameChange) => directoryOf(change.kind === "rename" ? change.to : change.path) === path;
      for (const change of this.#changes) if (within(change)) applyChange(this.#durable, change);
      this.#changes = this.#changes.filter((change) => !within(change));
    });
  }

  #checkOn(operation: DiskOperation, path: string): void {
    if (this.#crashed) throw new StoreError("failed", `${operation} of ${path}: the machine is off`);
  }

  // deno-lint-ignore require-await
  async lock(path: string): Promise<DiskLock> {
    if (this.#locks.has(path)) throw new StoreError("locked", `${path} is held by this process`);
    this.#locks.add(path);
    return { release: () => Promise.resolve(void this.#locks.delete(path)) };
  }

  #change(change: NameChange): void {
    applyChange(this.#live, change);
    this.#changes.push(change);
  }
}
