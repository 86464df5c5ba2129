// Large writes on Deno. Its node:fs writes within the call, on the thread that sessions live on too (0.3 ms for 1 MiB, more when
// the disk is behind), and joins the parts of a writev in fresh memory before. A Deno.FsFile leaves that thread.

import type { Stats } from "node:fs";

/** A smaller write costs less within the call than the way to another thread and back. */
export const THREADED_BYTES_MIN = 128 << 10;

/** Parts are joined to pieces of this size: each is one way to the other thread. */
const PIECE_BYTES = 1 << 20;
/** A part of this size goes uncopied where no piece is begun. */
const UNJOINED_BYTES_MIN = PIECE_BYTES / 4;
/** Pieces that are kept for the next writes; while more files are written at a time, each has one of its own. */
const SPARE_PIECES_MAX = 2;

/** Files that have a second descriptor for this at a time. */
const FILES_MAX = 64;

const spares: Uint8Array<ArrayBuffer>[] = [];
let openFiles = 0;

/** Whether this runtime has files that write on another thread, and needs them. May be asked on any runtime. */
export function hasThreadedWriter(): boolean {
  const { Deno } = globalThis as { Deno?: { FsFile?: unknown } };
  return typeof Deno?.FsFile === "function";
}

/** A file that is open elsewhere, for writes on another thread. */
export class ThreadedWriter {
  readonly #file: Deno.FsFile;
  /** Where the file's own position is; undefined after a failure. */
  #position: number | undefined = 0;
  #writing: Promise<void> = Promise.resolve();

  /** Undefined where `path` is not, or not any more, the file that `stats` are of, and while FILES_MAX are open. */
  static async open(path: string, stats: Pick<Stats, "dev" | "ino">): Promise<ThreadedWriter | undefined> {
    if (openFiles >= FILES_MAX) return undefined;
    openFiles++;
    const file = await openSame(path, stats).catch(() => undefined);
    if (file) return new ThreadedWriter(file);
    openFiles--;
    return undefined;
  }

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Writes `parts` one after the other from `position` on; behind the writes before, since the file has one position. */
  write(position: number, parts: readonly Uint8Array[]): Promise<void> {
    const written = this.#writing.then(() => this.#write(position, parts));
    this.#writing = written.catch(() => {
      this.#position = undefined;
    });
    return written;
  }

  /** Lets go of the file once nothing is being written. */
  async close(): Promise<void> {
    await this.#writing;
    this.#file.close();
    openFiles--;
  }

  async #write(position: number, parts: readonly Uint8Array[]): Promise<void> {
    if (this.#position !== position) this.#position = await this.#file.seek(position, Deno.SeekMode.Start);
    if (parts.length === 1) return await this.#writeAll(parts[0]!);
    const room = spares.pop() ?? new Uint8Array(PIECE_BYTES);
    for (const piece of piecesOf(parts, room)) await this.#writeAll(piece);
    if (spares.length < SPARE_PIECES_MAX) spares.push(room);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.byteLength) at += await this.#file.write(bytes.subarray(at));
    this.#position! += bytes.byteLength;
  }
}

/** What is written at a time: parts joined in `room`, good until the next piece, or a large part as it is. */
function* piecesOf(parts: readonly Uint8Array[], room: Uint8Array): Generator<Uint8Array> {
  let filled = 0;
  for (const part of parts) {
    let rest = part;
    while (rest.byteLength > 0) {
      if (filled === 0 && rest.byteLength >= UNJOINED_BYTES_MIN) {
        yield rest;
        break;
      }
      const taken = rest.subarray(0, PIECE_BYTES - filled);
      room.set(taken, filled);
      filled += taken.byteLength;
      rest = rest.subarray(taken.byteLength);
      if (filled < PIECE_BYTES) continue;
      yield room;
      filled = 0;
    }
  }
  if (filled > 0) yield room.subarray(0, filled);
}

/** The file at `path` where it is the one that `stats` are of. */
async function openSame(path: string, stats: Pick<Stats, "dev" | "ino">): Promise<Deno.FsFile | undefined> {
  const file = await Deno.open(path, { write: true });
  const found = await file.stat().catch(() => undefined);
  if (found && found.ino !== null && found.ino === stats.ino && found.dev === stats.dev) return file;
  file.close();
  return undefined;
}
