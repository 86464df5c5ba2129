/**
 * `fenced`: an earlier failure (fsync, damage) means the store no longer knows what is on disk, so it stops acknowledging.
 * `damaged`: stored bytes do not match their checksum; what they were is unknown, not absent.
 * `out-of-range`: the position is before the first entry or after the tail.
 * `disk-full`: the device refused the write; nothing of it is kept and later writes may succeed.
 * `locked`: another process holds the data directory. `closed`: the log or store was closed.
 * `failed`: any other failure of the device; `cause` tells.
 */
export type StoreErrorCode = "fenced" | "damaged" | "out-of-range" | "disk-full" | "locked" | "closed" | "failed";

/** What the disk did to us, translated once at the edge of log/. */
export class StoreError extends Error {
  override name = "StoreError";
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
