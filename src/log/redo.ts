// Opening a store whose journals are still there: what they hold is written to the segments once more, the same bytes to the same
// places, and synced; then they go. Where something of a journal is lost, logs that were not closed may lack what they had acked, and
// that is remembered beside them until all of them were opened.

import type { Crc32 } from "../core/environment.ts";
import { byteLengthOf } from "../lib/bytes.ts";
import { isKnownVersion } from "./block_file.ts";
import type { Disk } from "./disk.ts";
import type { StoreNotice } from "./store_notice.ts";
import { segmentName } from "./segment_format.ts";
import { writeSmallFile } from "./small_file.ts";
import { StoreError } from "./store_error.ts";
import { type JournaledPiece, journalName, journalNumbers, syncBlocks, UNSURE_NAME } from "./sync_blocks.ts";

export interface RedoOptions {
  readonly disk: Disk;
  /** Directory of the store. */
  readonly root: string;
  readonly crc32: Crc32;
  readonly onNotice: (notice: StoreNotice) => void;
}

/**
 * Writes again what the journals in `root` hold. Answers whether what was synced may be missing from logs that were not closed.
 * @throws StoreError where a journal is of a later version, or the disk fails.
 */
export async function redo({ disk, root, crc32, onNotice }: RedoOptions): Promise<boolean> {
  const names = await disk.list(root);
  const paths = journalNumbers(names).map((number) => `${root}/${journalName(number)}`);
  if (paths.length === 0) return names.includes(UNSURE_NAME);
  const notice = (message: string) => onNotice({ kind: "journal", log: "sync-journal", message });
  const { pieces, faults } = await readJournals(disk, paths, crc32);
  faults.push(...await writePieces({ disk, root, notice }, pieces));
  for (const fault of faults) notice(`${fault}: logs that were not closed may lack what was synced`);
  if (faults.length > 0) await writeSmallFile(disk, `${root}/${UNSURE_NAME}`, Uint8Array.of(1));
  if (faults.length > 0) await disk.syncDirectory(root);
  for (const path of paths) await disk.remove(path);
  await disk.syncDirectory(root);
  return faults.length > 0 || names.includes(UNSURE_NAME);
}

/** The pieces that count, by log, in their order; and what is wrong with the journals. */
async function readJournals(disk: Disk, paths: readonly string[], crc32: Crc32) {
  const pieces = new Map<string, JournaledPiece[]>();
  const faults: string[] = [];
  for (const path of paths) {
    const bytes = await readWhole(disk, path);
    const { header, items, damage, tornBytes, end } = syncBlocks(crc32).scan(bytes);
    if (header && !isKnownVersion(header)) {
      throw new StoreError("failed", `${path} has format version ${header.version}, which is not known here`);
    }
    // The header is synced before anything else is written: a file without one, and nothing behind it, was never used.
    const isUnused = !header && bytes.byteLength <= end;
    if (damage !== undefined && !isUnused) faults.push(`${path}: ${damage}`);
    else if (tornBytes > 0) faults.push(`${path}: ${tornBytes} bytes of an unfinished write`);
    for (const item of items) {
      if (item.kind === "void") pieces.delete(item.log);
      else listed(pieces, item.log).push(item);
    }
  }
  return { pieces, faults };
}

async function readWhole(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path);
  if (!file) throw new StoreError("failed", `${path} is gone`);
  try {
    const bytes = disk.allocate(await file.size());
    return bytes.subarray(0, await file.read(0, bytes));
  } finally {
    await file.close();
  }
}

async function writePieces(
  { disk, root, notice }: { disk: Disk; root: string; notice: (message: string) => void },
  byLog: ReadonlyMap<string, readonly JournaledPiece[]>,
): Promise<string[]> {
  const faults: string[] = [];
  let byteLength = 0;
  for (const [log, pieces] of byLog) {
    // A log that was removed or put aside has no directory any more.
    if ((await disk.list(`${root}/${log}`)).length === 0) continue;
    for (const [segment, own] of bySegment(pieces)) {
      const path = `${root}/${log}/${segmentName(segment)}`;
      const file = await disk.open(path);
      if (!file) {
        faults.push(`${path} is missing`);
        continue;
      }
      try {
        for (const { position, parts } of own) await file.write(position, parts);
        await file.sync();
      } finally {
        await file.close();
      }
      for (const { parts } of own) byteLength += byteLengthOf(parts);
    }
  }
  if (byteLength > 0) notice(`${byteLength} bytes of ${byLog.size} logs are written again from the journal`);
  return faults;
}

function bySegment(pieces: readonly JournaledPiece[]): Map<number, JournaledPiece[]> {
  const segments = new Map<number, JournaledPiece[]>();
  for (const piece of pieces) listed(segments, piece.segment).push(piece);
  return segments;
}

/** The list of `key`, made where there is none. */
function listed<Key>(lists: Map<Key, JournaledPiece[]>, key: Key): JournaledPiece[] {
  const list = lists.get(key) ?? [];
  lists.set(key, list);
  return list;
}
