// What a log holds, entry by entry, kept beside it where it can be looked at between two moments without a disk.

import type { MemoryDisk } from "../../src/log/disk.memory.ts";
import { walkCarefully } from "../../src/log/frame_scan.ts";
import { decodeSegmentHeader, firstSeqOfName, logIdHash, SEGMENT_HEADER_BYTES } from "../../src/log/segment_format.ts";
import { viewOf } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { FRAME_HEADER_BYTES, frameChecksum, frameEpochAt, frameLengthAt } from "../../src/wire/frame.ts";
import { chainAfter, type FrameRun } from "../../src/wire/frame_run.ts";

/** One entry: its epoch, and the chain over the log up to and with it, which says what the whole prefix is. */
export interface ShadowEntry {
  readonly epoch: number;
  readonly chain: number;
}

/** An entry that could not be read. */
const UNKNOWN: ShadowEntry = { epoch: -1, chain: -1 };

export function isKnown(entry: ShadowEntry | undefined): entry is ShadowEntry {
  return entry !== undefined && entry !== UNKNOWN;
}

/** The entries of a log: index 0 is entry 1. */
export class Shadow {
  readonly entries: ShadowEntry[];

  constructor(entries: ShadowEntry[]) {
    this.entries = entries;
  }

  /** `run` was appended after entry `run.firstSeq - 1`; answers the new entries. */
  append(run: FrameRun, chainBefore: number): ShadowEntry[] {
    const added = run.parts.flatMap((part) => entriesIn(part, chainBefore, (chain) => chainBefore = chain));
    this.entries.push(...added);
    return added;
  }

  at(seq: number): ShadowEntry | undefined {
    return this.entries[seq - 1];
  }
}

function entriesIn(bytes: Uint8Array, chainBefore: number, onEnd: (chain: number) => void): ShadowEntry[] {
  const view = viewOf(bytes);
  const entries: ShadowEntry[] = [];
  let chain = chainBefore;
  for (let at = 0; at < bytes.byteLength; at += FRAME_HEADER_BYTES + frameLengthAt(view, at)) {
    // Of the bytes as they are, whatever checksum they carry.
    chain = chainAfter(chain, frameChecksum(bytes, at, frameLengthAt(view, at), crc32));
    entries.push({ epoch: frameEpochAt(view, at), chain });
  }
  onEnd(chain);
  return entries;
}

export interface LogPlace {
  readonly disk: MemoryDisk;
  readonly directory: string;
  readonly logId: string;
}

/** Reads the files of a log past everything: `entryCount` entries, unknown ones where the bytes say nothing. */
export function shadowOf(place: LogPlace, entryCount: number): Shadow {
  const entries: ShadowEntry[] = new Array<ShadowEntry>(entryCount).fill(UNKNOWN);
  for (const { bytes, start, walk } of segmentsOf(place)) {
    const known = entriesIn(bytes.subarray(0, walk.end), start.chain, () => {});
    for (const [index, entry] of known.entries()) {
      const at = start.nextSeq - 1 + index;
      if (at < entryCount) entries[at] = entry;
    }
  }
  return new Shadow(entries);
}

/** The frames in the files of a log, as they are stored. */
export function storedFrames(place: LogPlace): Uint8Array[] {
  return segmentsOf(place).map(({ bytes, walk }) => bytes.subarray(0, walk.end));
}

function segmentsOf({ disk, directory, logId }: LogPlace) {
  return disk.paths().flatMap((path) => {
    const name = path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : "";
    const firstSeq = firstSeqOfName(name);
    if (firstSeq === undefined) return [];
    const content = disk.contentOf(path);
    const file = new Uint8Array(content.size);
    content.read(0, file);
    const idHash = logIdHash(logId, crc32);
    const start = decodeSegmentHeader(file.subarray(0, SEGMENT_HEADER_BYTES), { idHash, firstSeq, crc32 });
    if (typeof start === "string") return [];
    const bytes = file.subarray(SEGMENT_HEADER_BYTES);
    return [{ path, bytes, start, walk: walkCarefully(bytes, start, crc32) }];
  });
}
