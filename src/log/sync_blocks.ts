// What the blocks of a sync journal hold (FORMAT.md, "The sync journal"): pieces of segments, and that those of a log that came
// before do not count any more.

import type { Crc32 } from "../core/environment.ts";
import type { Seq } from "../core/position.ts";
import { FieldReader, FieldWriter } from "../wire/fields.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { BlockCodec, type BlockFormat } from "./block_file.ts";

const PIECE = 1;
const VOID = 2;
const LOG_ID_BYTES_MAX = 64;

/** Bytes that stand at `position` of a segment. */
export interface JournaledPiece {
  readonly kind: "piece";
  readonly log: string;
  /** First seq of the segment. */
  readonly segment: Seq;
  readonly position: number;
  readonly parts: readonly Uint8Array[];
}

/** Pieces of `log` that came before it are not written again: the log was cut, or is another one now. */
export interface JournaledVoid {
  readonly kind: "void";
  readonly log: string;
}

export type SyncItem = JournaledPiece | JournaledVoid;

const FORMAT: BlockFormat<SyncItem> = {
  fileMagic: "MRSYNCJN",
  // "MRSB"
  blockMagic: 0x4253524d,
  encode: (item) => {
    const fields = new FieldWriter(2 + LOG_ID_BYTES_MAX + 16).text(item.log);
    if (item.kind === "void") return { kind: VOID, parts: [fields.finish()] };
    return { kind: PIECE, parts: [fields.u53(item.segment).u53(item.position).finish(), ...item.parts] };
  },
  decode: (kind, bytes) => {
    const fields = new FieldReader(bytes, "a piece");
    const log = fields.text(LOG_ID_BYTES_MAX);
    if (kind === VOID) return { kind: "void", log };
    if (kind !== PIECE) throw new ProtocolError("malformed-message", `an item of kind ${kind}`);
    return { kind: "piece", log, segment: fields.u53(), position: fields.u53(), parts: [fields.restView()] };
  },
};

export function syncBlocks(crc32: Crc32): BlockCodec<SyncItem> {
  return new BlockCodec(FORMAT, crc32);
}

const NAME = /^sync-(\d{1,15})\.journal$/;
/** Beside the journals, where something of them was lost. */
export const UNSURE_NAME = "sync.unsure";

export function journalName(number: number): string {
  return `sync-${number}.journal`;
}

/** The numbers of the journals among `names`, in the order in which they were written. */
export function journalNumbers(names: readonly string[]): number[] {
  return names.flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number).sort((a, b) => a - b);
}
