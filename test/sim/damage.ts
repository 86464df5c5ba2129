// What happens to a disk while nobody looks: bits flip, writes turn out to be lost or to have gone elsewhere.

import { SECTOR_BYTES } from "../../src/log/memory_file.ts";
import type { MemoryDisk } from "../../src/log/disk.memory.ts";
import type { SimRandom } from "./random.ts";

/** `lost end`: some of the last sectors were never written, three or forty at most. */
export type DamageKind = "flipped bits" | "lost write" | "misdirected write" | "lost end";

/** Damages one of the `paths`; answers what was done, or undefined where there is nothing to damage. */
export function damage(
  disk: MemoryDisk,
  paths: readonly string[],
  options: { kind: DamageKind; random: SimRandom },
): string | undefined {
  const { kind, random } = options;
  const files = paths.filter((path) => (disk.sizeOf(path) ?? 0) > 0);
  if (files.length === 0) return undefined;
  const path = random.pick(files);
  const size = disk.sizeOf(path)!;
  if (kind === "flipped bits") {
    const at = Array.from({ length: random.whole(1, 3) }, () => random.whole(0, size - 1));
    for (const position of at) disk.contentOf(path).flipBit(position, random.whole(0, 7));
    return `${path} at ${at.join()}`;
  }
  if (kind === "lost end") {
    const from = Math.max(0, (Math.ceil(size / SECTOR_BYTES) - random.whole(1, random.pick([3, 40]))) * SECTOR_BYTES);
    overwrite(disk, { path, from, bytes: new Uint8Array(size - from) });
    return `${path} from ${from} on`;
  }
  const sectors = Math.ceil(size / SECTOR_BYTES);
  const sector = random.whole(0, sectors - 1);
  const from = sector * SECTOR_BYTES;
  const length = Math.min(SECTOR_BYTES, size - from);
  if (kind === "lost write") overwrite(disk, { path, from, bytes: new Uint8Array(length) });
  else {
    const other = random.pick(files);
    const bytes = new Uint8Array(length);
    disk.contentOf(other).read(random.whole(0, Math.floor(disk.sizeOf(other)! / SECTOR_BYTES)) * SECTOR_BYTES, bytes);
    overwrite(disk, { path, from, bytes });
  }
  return `${path} sector ${sector}`;
}

/** Puts `bytes` there by flipping what differs, so that what is synced changes too. */
function overwrite(disk: MemoryDisk, { path, from, bytes }: { path: string; from: number; bytes: Uint8Array }): void {
  const content = disk.contentOf(path);
  const found = new Uint8Array(bytes.byteLength);
  content.read(from, found);
  for (const [index, byte] of bytes.entries()) {
    const differing = byte ^ found[index]!;
    for (let bit = 0; bit < 8; bit++) if (differing & (1 << bit)) content.flipBit(from + index, bit);
  }
}
