// Repairs the files of a log that is not open where they are: segment after segment, headers too. What is damaged is fetched and
// written; what is sound is only read. A crash on the way leaves what is damaged still, or less of it: nothing else changes.

import { EMPTY_TAIL, type LogTail, type Seq } from "../core/position.ts";
import { viewOf } from "../lib/bytes.ts";
import { FRAME_HEADER_BYTES, frameChecksum, frameCrcAt, frameLengthAt, frameSeqAt } from "../wire/frame.ts";
import { decodeCleanMarker } from "./clean_marker.ts";
import type { DiskFile } from "./disk.ts";
import { unsyncedBytesMaxOf } from "./log_context.ts";
import type { MendOptions } from "./log_store.ts";
import type { LogFiles } from "./segment.ts";
import {
  CLEAN_NAME,
  decodeSegmentHeader,
  encodeSegmentHeader,
  firstSeqsOf,
  isHeaderLost,
  MARK_NAME,
  SEGMENT_HEADER_BYTES,
  segmentName,
} from "./segment_format.ts";
import { GAP_BYTES_MAX, misfit, type SegmentEnd, SegmentMender } from "./segment_mender.ts";
import { readSmallFile } from "./small_file.ts";
import { readMark, type SyncedMark } from "./synced_mark.ts";

export interface LogMendOptions extends MendOptions {
  /** What is before this entry is held to be sound, and not read. */
  readonly fromSeq: Seq;
}

/** Mends the log in `log.directory`. @throws as `LogStore.mend`. */
export async function mendLog(log: LogFiles, options: LogMendOptions): Promise<void> {
  const names = await log.context.disk.list(log.directory);
  const mark = names.includes(MARK_NAME) ? await readMark(log.context.disk, ownerOf(log)) : undefined;
  const firstSeqs = await withoutTornCreation(log, firstSeqsOf(names), mark);
  const last = firstSeqs.at(-1) ?? 0;
  if (last < (mark?.segment ?? 1)) throw misfit(log.directory, "its last segment is missing");
  const lastEnd = await closedEnd(log, names) ?? markedEnd(last, mark);
  const { crc32 } = log.context.environment;
  const unsyncedBytesMax = unsyncedBytesMaxOf(log.context);
  const onMended = tellingOf(log, options);
  const first = await firstToMend(log, firstSeqs, options.fromSeq);
  let before = firstSeqs[first] === 1 ? EMPTY_TAIL : undefined;
  for (let index = first; index < firstSeqs.length; index++) {
    const firstSeq = firstSeqs[index]!;
    const next = firstSeqs[index + 1];
    const end = next === undefined ? lastEnd : await endBefore(log, next);
    before = await useSegment(log, firstSeq, async (file) => {
      const start = await mendHeader(log, file, { firstSeq, before });
      const path = pathOf(log, firstSeq);
      return await new SegmentMender({ ...options, onMended, file, path, end, unsyncedBytesMax, crc32 }).mend(start);
    });
  }
}

function ownerOf({ directory, idHash, context: { environment: { crc32 } } }: LogFiles) {
  return { directory, idHash, crc32 };
}

function pathOf({ directory }: LogFiles, firstSeq: Seq): string {
  return `${directory}/${segmentName(firstSeq)}`;
}

function tellingOf({ id, context: { onNotice } }: LogFiles, { onMended = () => {} }: MendOptions) {
  return (entries: { firstSeq: Seq; lastSeq: Seq; byteLength: number }) => {
    const { firstSeq, lastSeq, byteLength } = entries;
    const message = `entries ${firstSeq} to ${lastSeq} of log ${id} are repaired: ${byteLength} bytes`;
    onNotice({ kind: "mended", log: id, message });
    onMended(entries);
  };
}

/** Runs `task` with the file of a segment, which is closed by nobody else. */
async function useSegment<Value>(
  log: LogFiles,
  firstSeq: Seq,
  task: (file: DiskFile) => Promise<Value>,
): Promise<Value> {
  const path = pathOf(log, firstSeq);
  const file = await log.context.disk.open(path);
  if (!file) throw misfit(path, "it is missing");
  try {
    return await task(file);
  } finally {
    await file.close();
  }
}

async function readHeader(file: DiskFile): Promise<Uint8Array> {
  const header = new Uint8Array(SEGMENT_HEADER_BYTES);
  return header.subarray(0, await file.read(0, header));
}

/** Which segment is the first that is looked at: one before that of entry `fromSeq` whose header is sound, as all that follows. */
async function firstToMend(log: LogFiles, firstSeqs: readonly Seq[], fromSeq: Seq): Promise<number> {
  const { crc32 } = log.context.environment;
  let index = Math.max(0, firstSeqs.findLastIndex((firstSeq) => firstSeq < fromSeq));
  while (
    index > 0 && await useSegment(log, firstSeqs[index]!, async (file) => isHeaderLost(await readHeader(file), crc32))
  ) {
    index--;
  }
  return index;
}

/** A last segment whose creation was interrupted is none; opening the log removes it. */
async function withoutTornCreation(
  log: LogFiles,
  firstSeqs: readonly Seq[],
  mark: SyncedMark | undefined,
): Promise<readonly Seq[]> {
  const last = firstSeqs.at(-1);
  if (last === undefined || last <= (mark?.segment ?? 0)) return firstSeqs;
  const isTorn = await useSegment(log, last, async (file) => {
    if (await file.size() > SEGMENT_HEADER_BYTES) return false;
    return isHeaderLost(await readHeader(file), log.context.environment.crc32);
  });
  return isTorn ? firstSeqs.slice(0, -1) : firstSeqs;
}

/** Where the last segment ends, by what a close in good order left: nothing was written since. */
async function closedEnd(log: LogFiles, names: readonly string[]): Promise<SegmentEnd | undefined> {
  const { disk, environment: { crc32 } } = log.context;
  if (!names.includes(CLEAN_NAME)) return undefined;
  const bytes = await readSmallFile(disk, `${log.directory}/${CLEAN_NAME}`);
  const state = bytes && decodeCleanMarker(bytes, { idHash: log.idHash, firstSeqs: firstSeqsOf(names), crc32 });
  const last = state?.segments.at(-1);
  return last && { nextSeq: state!.tail.nextSeq, tail: state!.tail, position: last.end };
}

/** How far the last segment, which begins with entry `last`, was known to be on disk. */
function markedEnd(last: Seq, mark: SyncedMark | undefined): SegmentEnd {
  if (mark?.segment === last) return { nextSeq: mark.seq + 1, position: mark.position };
  return { nextSeq: last, position: SEGMENT_HEADER_BYTES };
}

/** How the segment before the one of `firstSeq` ends, by the header of that or, where it is damaged, by its first frame. */
async function endBefore(log: LogFiles, firstSeq: Seq): Promise<SegmentEnd> {
  const { crc32 } = log.context.environment;
  return await useSegment(log, firstSeq, async (file) => {
    const tail = decodeSegmentHeader(await readHeader(file), { idHash: log.idHash, firstSeq, crc32 });
    if (typeof tail !== "string") return { nextSeq: firstSeq, tail };
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    if (await file.read(SEGMENT_HEADER_BYTES, header) < FRAME_HEADER_BYTES) return { nextSeq: firstSeq };
    const length = frameLengthAt(viewOf(header), 0);
    const isHere = frameSeqAt(viewOf(header), 0) === firstSeq && length <= GAP_BYTES_MAX;
    const frame = new Uint8Array(isHere ? FRAME_HEADER_BYTES + length : 0);
    const isWhole = isHere && await file.read(SEGMENT_HEADER_BYTES, frame) === frame.byteLength &&
      frameChecksum(frame, 0, length, crc32) === frameCrcAt(viewOf(frame), 0);
    return { nextSeq: firstSeq, ...(isWhole ? { following: frame } : {}) };
  });
}

/** The state before a segment's first entry. A header that is lost follows from what is `before` it. */
async function mendHeader(
  log: LogFiles,
  file: DiskFile,
  { firstSeq, before }: { firstSeq: Seq; before: LogTail | undefined },
): Promise<LogTail> {
  const { crc32 } = log.context.environment;
  const bytes = await readHeader(file);
  const start = decodeSegmentHeader(bytes, { idHash: log.idHash, firstSeq, crc32 });
  if (before && before.nextSeq !== firstSeq) throw misfit(pathOf(log, firstSeq), `entry ${before.nextSeq} is missing`);
  if (typeof start !== "string") {
    if (before && before.chain !== start.chain) throw misfit(pathOf(log, firstSeq), "it follows on other entries");
    return start;
  }
  if (!before || !isHeaderLost(bytes, crc32)) throw misfit(pathOf(log, firstSeq), start);
  await file.write(0, [encodeSegmentHeader(log.idHash, before, crc32)]);
  await file.sync();
  return before;
}
