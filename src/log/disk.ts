// The disk as the segment store sees it: the few operations whose order and durability matter. Small enough that a
// simulated disk can implement all of it. Failures are StoreErrors (`disk-full`, `locked`, `failed`), translated once, here
// at the edge. Paths use "/".

/** An open file. Operations may overlap; what they do to overlapping ranges is the caller's affair. */
export interface DiskFile {
  /** Writes all `parts` one after the other from `position` on, completely, or rejects with an unknown part written. */
  write(position: number, parts: readonly Uint8Array[]): Promise<void>;
  /** Fills `into` from `position` on; answers the bytes read, fewer than asked only at the end of the file. */
  read(position: number, into: Uint8Array): Promise<number>;
  /** Makes content and size durable (fdatasync). After a rejection nothing is known about what was unsynced. */
  sync(): Promise<void>;
  /** Cuts the file to `size` bytes. Not durable before `sync`. */
  truncate(size: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** A hold on a directory that ends with the process at the latest. */
export interface DiskLock {
  release(): Promise<void>;
}

export interface Disk {
  /** Memory to read into, with whatever it held before. */
  allocate(byteLength: number): Uint8Array;
  /** Opens an existing file for reading and writing; `undefined` where there is none. */
  open(path: string): Promise<DiskFile | undefined>;
  /** Makes a file, or empties the one that is there. Its name is durable after `syncDirectory` of its directory. */
  create(path: string): Promise<DiskFile>;
  /** Makes a directory and its missing parents, durably; fine where it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory, in no order; empty where there is no such directory. */
  list(path: string): Promise<string[]>;
  /** Replaces `to` by `from` atomically. Works for directories too. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; fine where there is none. Durable after `syncDirectory`. */
  remove(path: string): Promise<void>;
  /** Removes an empty directory; fine where there is none. */
  removeDirectory(path: string): Promise<void>;
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Holds the lock file `path` against every other process and every other holder in this one. A lock whose holder died
   * is taken over.
   * @throws StoreError `locked`, naming the process that holds it.
   */
  lock(path: string): Promise<DiskLock>;
}
