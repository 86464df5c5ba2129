// The real disk over node:fs, for Deno, Bun and Node. Uses the callback functions with file descriptors: they are the
// shortest way to the thread pool on all three.

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { byteLengthOf } from "../lib/bytes.ts";
import { lockFile } from "./directory_lock.node.ts";
import type { Disk, DiskFile, DiskLock } from "./disk.ts";
import { storeErrorOf } from "./disk_error.node.ts";
import { hasThreadedWriter, THREADED_BYTES_MIN, ThreadedWriter } from "./threaded_writer.deno.ts";

/** Most buffers that one writev accepts (IOV_MAX on Linux and macOS). */
const VECTORS_MAX = 1024;
/** Parts below this mean are copied together: below it one copy is cheaper than the kernel's walk over many vectors. */
const GATHER_BYTES = 4096;
/** From how many bytes on a write goes through a {@link ThreadedWriter}. */
const OWN_THREAD_BYTES_MIN = hasThreadedWriter() ? THREADED_BYTES_MIN : Infinity;

type Settle<Value> = (error: Error | null, value: Value) => void;

function call<Value>(what: string, path: string, run: (settle: Settle<Value>) => void): Promise<Value> {
  return new Promise((done, reject) => {
    run((error, value) => error ? reject(storeErrorOf(error, what, path)) : done(value));
  });
}

/** Copies `parts` together where they are many and small; else gives them as they are, the first `VECTORS_MAX`. */
function vectorsOf(parts: readonly Uint8Array[], byteLength: number): Uint8Array[] {
  if (parts.length < 3 || byteLength / parts.length > GATHER_BYTES) return parts.slice(0, VECTORS_MAX);
  const joined = new Uint8Array(byteLength);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.byteLength;
  }
  return [joined];
}

/** What remains of `parts` after their first `written` bytes. */
function remainder(parts: readonly Uint8Array[], written: number): Uint8Array[] {
  let index = 0;
  let left = written;
  while (index < parts.length && left >= parts[index]!.byteLength) left -= parts[index++]!.byteLength;
  const rest = parts.slice(index);
  if (left > 0) rest[0] = rest[0]!.subarray(left);
  return rest;
}

class NodeFile implements DiskFile {
  readonly #fd: number;
  readonly #path: string;
  #threaded: Promise<ThreadedWriter | undefined> | undefined;

  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
  }

  async write(position: number, parts: readonly Uint8Array[]): Promise<void> {
    let byteLength = byteLengthOf(parts);
    if (byteLength >= OWN_THREAD_BYTES_MIN) {
      this.#threaded ??= this.#stat().then((stats) => ThreadedWriter.open(this.#path, stats)).catch(() => undefined);
      const writer = await this.#threaded;
      if (!writer) this.#threaded = undefined;
      else return await attempt("write", this.#path, () => writer.write(position, parts));
    }
    let rest: readonly Uint8Array[] = parts;
    let at = position;
    while (byteLength > 0) {
      const vectors = vectorsOf(rest, byteLength);
      const written = await this.#writeOnce(at, vectors);
      at += written;
      byteLength -= written;
      if (byteLength > 0) rest = remainder(rest, written);
    }
  }

  #writeOnce(position: number, vectors: Uint8Array[]): Promise<number> {
    return call("write", this.#path, (settle: Settle<number>) => {
      if (vectors.length > 1) return fs.writev(this.#fd, vectors, position, settle);
      fs.write(this.#fd, vectors[0]!, 0, vectors[0]!.byteLength, position, settle);
    });
  }

  async read(position: number, into: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < into.byteLength) {
      const count = await call("read", this.#path, (settle: Settle<number>) => {
        fs.read(this.#fd, into, filled, into.byteLength - filled, position + filled, settle);
      });
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }

  sync(): Promise<void> {
    return call(
      "fdatasync",
      this.#path,
      (settle: Settle<void>) => fs.fdatasync(this.#fd, settle as fs.NoParamCallback),
    );
  }

  truncate(size: number): Promise<void> {
    return call(
      "truncate",
      this.#path,
      (settle: Settle<void>) => fs.ftruncate(this.#fd, size, settle as fs.NoParamCallback),
    );
  }

  async size(): Promise<number> {
    return (await this.#stat()).size;
  }

  #stat(): Promise<fs.Stats> {
    return call("stat", this.#path, (settle: Settle<fs.Stats>) => fs.fstat(this.#fd, settle));
  }

  async close(): Promise<void> {
    await (await this.#threaded)?.close();
    await call("close", this.#path, (settle: Settle<void>) => fs.close(this.#fd, settle as fs.NoParamCallback));
  }
}

/** Runs `task`, translating its failure. `missing` is the answer where the path does not exist, if that is fine. */
async function attempt<Value>(what: string, path: string, task: () => Promise<Value>, missing?: () => Value) {
  try {
    return await task();
  } catch (error) {
    if (missing && (error as NodeJS.ErrnoException).code === "ENOENT") return missing();
    throw storeErrorOf(error, what, path);
  }
}

function openFd(path: string, flags: number): Promise<number> {
  return new Promise((done, reject) => {
    fs.open(path, flags, 0o640, (error, fd) => error ? reject(error) : done(fd));
  });
}

/** The file system of the machine. */
export class NodeDisk implements Disk {
  /** Not zeroed where the runtime can: it took 9 % of a server on Bun that feeds a replica from its files. */
  allocate(byteLength: number): Uint8Array {
    const { buffer, byteOffset } = Buffer.allocUnsafeSlow(byteLength);
    return new Uint8Array(buffer, byteOffset, byteLength);
  }

  open(path: string): Promise<DiskFile | undefined> {
    const task = async () => new NodeFile(await openFd(path, fs.constants.O_RDWR), path);
    return attempt<DiskFile | undefined>("open", path, task, () => undefined);
  }

  create(path: string): Promise<DiskFile> {
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_TRUNC;
    return attempt("create", path, async () => new NodeFile(await openFd(path, flags), path));
  }

  async makeDirectory(path: string): Promise<void> {
    const first = await attempt(
      "make directory",
      path,
      () => fs.promises.mkdir(path, { recursive: true, mode: 0o750 }),
    );
    let made = resolve(path);
    await this.syncDirectory(dirname(made));
    while (first !== undefined && made !== resolve(first)) {
      made = dirname(made);
      await this.syncDirectory(dirname(made));
    }
  }

  list(path: string): Promise<string[]> {
    return attempt("list", path, () => fs.promises.readdir(path), () => []);
  }

  rename(from: string, to: string): Promise<void> {
    return attempt("rename", from, () => fs.promises.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return attempt("remove", path, () => fs.promises.unlink(path), () => {});
  }

  removeDirectory(path: string): Promise<void> {
    return attempt("remove directory", path, () => fs.promises.rmdir(path), () => {});
  }

  async syncDirectory(path: string): Promise<void> {
    // Windows has no handle on a directory to sync; NTFS journals names by itself.
    if (process.platform === "win32") return;
    const fd = await attempt("open directory", path, () => openFd(path, fs.constants.O_RDONLY));
    try {
      await call("fsync", path, (settle: Settle<void>) => fs.fsync(fd, settle as fs.NoParamCallback));
    } finally {
      fs.close(fd, () => {});
    }
  }

  lock(path: string): Promise<DiskLock> {
    return lockFile(path);
  }
}
