// Opening a log: from its clean marker if there is one, else from its files. Cuts nothing but what is certainly the rest of an
// unfinished write; what cannot be explained like that is damage, and stays as it is.

import type { EpochStart, LogTail } from "../core/position.ts";
import { EMPTY_TAIL } from "../core/position.ts";
import type { Damage, Recovery } from "./log_store.ts";
import { decodeCleanMarker } from "./clean_marker.ts";
import { scanSegment } from "./frame_scan.ts";
import { unsyncedBytesMaxOf } from "./log_context.ts";
import { DamageFound, Segment } from "./segment.ts";
import type { LogFiles } from "./segment.ts";
import { CLEAN_NAME, decodeSegmentHeader, firstSeqsOf, MARK_NAME, SEGMENT_HEADER_BYTES } from "./segment_format.ts";
import { readSmallFile } from "./small_file.ts";
import { readMark, type SyncedMark } from "./synced_mark.ts";
import { damageIn } from "./torn_tail.ts";
import { restoreDurability } from "./restore_durability.ts";

/** A log as it was found. */
export interface Recovered {
  readonly tail: LogTail;
  readonly segments: Segment[];
  readonly epochStarts: EpochStart[];
  readonly recovery: Recovery;
  readonly damage: Damage | undefined;
}

/** Reads the state of a log from its directory, repairing what a crash may leave. */
export async function recover(log: LogFiles): Promise<Recovered> {
  const names = await log.context.disk.list(log.directory);
  const clean = names.includes(CLEAN_NAME) ? await recoverClean(log, names) : undefined;
  return clean ?? await recoverFromFiles(log, names);
}

async function recoverClean(log: LogFiles, names: readonly string[]): Promise<Recovered | undefined> {
  const { disk, environment, files } = log.context;
  const bytes = await readSmallFile(disk, `${log.directory}/${CLEAN_NAME}`);
  const expected = { idHash: log.idHash, firstSeqs: firstSeqsOf(names), crc32: environment.crc32 };
  const state = bytes && decodeCleanMarker(bytes, expected);
  if (!state) return undefined;
  const segments = state.segments.map((extent) => new Segment(log, extent));
  const last = segments[segments.length - 1];
  if (last) {
    const size = await files.use(last.path, (file) => file.size());
    files.forget(last.path);
    if (size !== last.end) return undefined;
  }
  return {
    tail: state.tail,
    segments,
    epochStarts: [...state.epochStarts],
    recovery: { clean: true, scannedBytes: 0, tornBytes: 0 },
    damage: undefined,
  };
}

async function recoverFromFiles(log: LogFiles, names: readonly string[]): Promise<Recovered> {
  const { disk, environment } = log.context;
  const owner = { directory: log.directory, idHash: log.idHash, crc32: environment.crc32 };
  const mark = names.includes(MARK_NAME) ? await readMark(disk, owner) : undefined;
  const found = await readHeaders(log, firstSeqsOf(names), mark);
  if (found.segments.length === 0) return emptyLog(log, { mark, damage: found.damage, isNew: names.length === 0 });
  const { segments, epochStarts } = await sealedEpochStarts(found.segments);
  const last = segments[segments.length - 1]!;
  const next = found.segments[segments.length];
  const scan = await scanLast(log, last, { mark, isSealed: found.damage !== undefined || next !== undefined });
  epochStarts.push(...last.index!.epochStarts);
  return {
    tail: scan.tail,
    segments,
    epochStarts,
    recovery: { clean: false, scannedBytes: last.byteLength, tornBytes: scan.tornBytes, ...unsureOf(log) },
    damage: lowerOf(found.damage, scan.damage ?? (next && missingBefore(next, scan.tail))),
  };
}

/** What follows a sealed segment that ends too early, though with a whole entry. */
function missingBefore(next: Segment, { nextSeq, epoch }: LogTail): Damage {
  const reason = `the segment that follows entry ${
    nextSeq - 1
  } of epoch ${epoch} begins after one of epoch ${next.start.epoch}`;
  return { seq: nextSeq, place: `${next.path} at 0`, reason };
}

function unsureOf({ context: { isUnsure } }: LogFiles): { isUnsure?: true } {
  return isUnsure ? { isUnsure } : {};
}

function lowerOf(a: Damage | undefined, b: Damage | undefined): Damage | undefined {
  return a && b ? (a.seq <= b.seq ? a : b) : a ?? b;
}

function emptyLog(
  log: LogFiles,
  found: { mark: SyncedMark | undefined; damage: Damage | undefined; isNew: boolean },
): Recovered {
  const { mark, damage, isNew } = found;
  const missing = mark && mark.seq > 0
    ? { seq: 1, place: log.directory, reason: `no segment is left of the ${mark.seq} entries that were synced` }
    : undefined;
  return {
    tail: EMPTY_TAIL,
    segments: [],
    epochStarts: [],
    recovery: { clean: isNew, scannedBytes: 0, tornBytes: 0, ...(isNew ? {} : unsureOf(log)) },
    damage: damage ?? missing,
  };
}

/** Reads the header of every segment. From a wrong one on, nothing is known: the segments before it are the log. */
async function readHeaders(log: LogFiles, firstSeqs: readonly number[], mark: SyncedMark | undefined) {
  const { disk, files, environment } = log.context;
  const segments: Segment[] = [];
  for (const [index, firstSeq] of firstSeqs.entries()) {
    const segment = new Segment(log, { start: { ...EMPTY_TAIL, nextSeq: firstSeq }, end: SEGMENT_HEADER_BYTES });
    const { bytes, size } = await files.use(segment.path, async (file) => {
      const into = new Uint8Array(SEGMENT_HEADER_BYTES);
      return { bytes: into.subarray(0, await file.read(0, into)), size: await file.size() };
    });
    files.forget(segment.path);
    const start = decodeSegmentHeader(bytes, { idHash: log.idHash, firstSeq, crc32: environment.crc32 });
    if (typeof start !== "string") {
      segments.push(new Segment(log, { start, end: Math.max(size, SEGMENT_HEADER_BYTES) }));
      continue;
    }
    const isTornCreation = index === firstSeqs.length - 1 && size <= SEGMENT_HEADER_BYTES &&
      firstSeq > (mark?.segment ?? 0);
    if (!isTornCreation) return { segments, damage: { seq: firstSeq, place: `${segment.path} at 0`, reason: start } };
    await disk.remove(segment.path);
    await disk.syncDirectory(log.directory);
  }
  return { segments, damage: undefined };
}

/**
 * Epochs that begin in sealed segments, and the segments that can be told about: all, or those up to the first that is damaged.
 * The headers tell in which ones epochs begin; only the indexes of those are read.
 */
async function sealedEpochStarts(
  segments: readonly Segment[],
): Promise<{ segments: Segment[]; epochStarts: EpochStart[] }> {
  const epochStarts: EpochStart[] = [];
  for (const [index, segment] of segments.entries()) {
    const next = segments[index + 1];
    if (!next || next.start.epoch === segment.start.epoch) continue;
    const starts = await epochStartsIn(segment);
    if (starts?.at(-1)?.epoch !== next.start.epoch) return { segments: segments.slice(0, index + 1), epochStarts };
    epochStarts.push(...starts!);
  }
  return { segments: [...segments], epochStarts };
}

/** Epochs that begin in `segment`; `undefined` where it is damaged. */
async function epochStartsIn(segment: Segment): Promise<readonly EpochStart[] | undefined> {
  try {
    return (await segment.loadIndex()).epochStarts;
  } catch (error) {
    if (error instanceof DamageFound) return undefined;
    throw error;
  }
}

/** Verifies the last segment, cuts an unfinished write from its end, and makes sure that what is left is really on disk. */
async function scanLast(
  log: LogFiles,
  last: Segment,
  { mark, isSealed }: { mark: SyncedMark | undefined; isSealed: boolean },
) {
  const { files, environment, onNotice } = log.context;
  const { crc32 } = environment;
  const size = last.end;
  return await files.use(last.path, async (file) => {
    const from = { position: SEGMENT_HEADER_BYTES, tail: last.start };
    const { place, index, fault } = await scanSegment({ file, from, end: size, crc32 });
    const { position, tail } = place;
    last.end = position;
    last.index = index;
    const unsyncedBytesMax = unsyncedBytesMaxOf(log.context);
    const reason = beyondMark(last, position, mark) ??
      (position === size
        ? undefined
        : isSealed
        ? "the segment was complete"
        : await damageIn({ file, position, tail, size, unsyncedBytesMax, crc32 }));
    if (reason) {
      const what = fault ? `${fault.message}; ${reason}` : reason;
      return { tail, tornBytes: 0, damage: { seq: tail.nextSeq, place: `${last.path} at ${position}`, reason: what } };
    }
    const tornBytes = size - position;
    if (tornBytes > 0) {
      onNotice({
        kind: "torn-tail",
        log: log.id,
        message: `${tornBytes} bytes of an unfinished write cut from ${last.path}`,
      });
    }
    const syncedTo = mark?.segment === last.firstSeq ? mark.position : 0;
    await restoreDurability(log, file, { position, tornBytes, syncedTo });
    return { tail, tornBytes, damage: undefined };
  });
}

/** Why entries are missing that the mark vouches for, if so. */
function beyondMark(last: Segment, position: number, mark: SyncedMark | undefined): string | undefined {
  if (!mark) return undefined;
  if (mark.segment > last.firstSeq) return `entries up to ${mark.seq} were synced, but their segment is missing`;
  if (mark.segment === last.firstSeq && position < mark.position) {
    return `entries up to ${mark.seq} were synced, to position ${mark.position}`;
  }
  return undefined;
}
