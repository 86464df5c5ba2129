// Where in a log something is: the branded numbers and the state of a log's end.

declare const brand: unique symbol;

/** Number of an entry in its channel: 1 .. 2^53-1, dense. `nextSeq` of an empty log is 1. */
export type Seq = number & { readonly [brand]?: "Seq" };
/** Number of a leadership of a channel: 1 .. 2^32-1; 0 means "before any". */
export type Epoch = number & { readonly [brand]?: "Epoch" };

export const SEQ_MAX = Number.MAX_SAFE_INTEGER;
export const EPOCH_MAX = 0xffff_ffff;

/** Epochs up to here are taken from anybody; beyond, and no set gets there by elections, only in steps. */
const EPOCH_NEAR_MAX = 2 ** 31;
const EPOCH_STEP_MAX = 2 ** 20;

/** Whether `epoch` is so far from `own` that it is a mistake: taken for true, it could leave no epochs for elections. */
export function isFarEpoch(epoch: Epoch, own: Epoch): boolean {
  return epoch > Math.max(EPOCH_NEAR_MAX, own + EPOCH_STEP_MAX);
}

/** The end of a log, or of a prefix of it: all that is needed to verify and append what follows. */
export interface LogTail {
  /** The seq that the next entry will have. */
  readonly nextSeq: Seq;
  /** Epoch of the last entry, 0 where there is none. */
  readonly epoch: Epoch;
  /** Timestamp of the last entry in ms since 1970, 0 where there is none. */
  readonly timestamp: number;
  /** Chain checksum: CRC-32 over the crc32 fields (4 bytes, little-endian) of all entries before `nextSeq`. */
  readonly chain: number;
}

export const EMPTY_TAIL: LogTail = { nextSeq: 1, epoch: 0, timestamp: 0, chain: 0 };

/** The first entry of an epoch in a log. */
export interface EpochStart {
  readonly epoch: Epoch;
  readonly seq: Seq;
}
