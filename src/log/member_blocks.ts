// What the blocks of a member journal hold (FORMAT.md, "The member journal"): records of channels, and that there is none any more.

import type { Crc32 } from "../core/environment.ts";
import type { MemberRecord } from "../core/replica_set.ts";
import { textOf } from "../lib/bytes.ts";
import { FieldReader } from "../wire/fields.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { BlockCodec, type BlockFormat, type BlockScan } from "./block_file.ts";
import { readMemberRecord } from "./member_record.ts";

const KEEP = 1;
const FORGET = 2;

/** What one item of a block says: the record of `channel` from then on, `undefined` for none. */
export interface JournalItem {
  readonly channel: string;
  readonly record: MemberRecord | undefined;
  /** The record's bytes, or those of the channel alone. */
  readonly bytes: Uint8Array;
}

export type JournalScan = BlockScan<JournalItem>;

const FORMAT: BlockFormat<JournalItem> = {
  fileMagic: "MRMEMBER",
  // "MRMB"
  blockMagic: 0x424d524d,
  encode: ({ record, bytes }) => ({ kind: record ? KEEP : FORGET, parts: [bytes] }),
  decode: readItem,
};

export function memberBlocks(crc32: Crc32): BlockCodec<JournalItem> {
  return new BlockCodec(FORMAT, crc32);
}

function readItem(kind: number, bytes: Uint8Array): JournalItem {
  const channel = textOf(bytes);
  if (kind === FORGET && channel !== undefined) return { channel, record: undefined, bytes };
  if (kind !== KEEP) throw new ProtocolError("malformed-message", `an item of kind ${kind}`);
  const fields = new FieldReader(bytes, "a record");
  const record = readMemberRecord(fields);
  fields.end();
  return { channel: record.channel, record, bytes };
}
