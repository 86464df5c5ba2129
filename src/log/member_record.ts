// A member's record as bytes (FORMAT.md, "The member journal").

import { type MemberRecord, type MembershipEntry, MEMBERSHIPS_MAX } from "../core/replica_set.ts";
import { utf8 } from "../lib/bytes.ts";
import { type FieldReader, FieldWriter } from "../wire/fields.ts";
import { decodeMembership, encodeMembership, MEMBERSHIP_BYTES_MAX } from "../wire/membership.ts";
import { ProtocolError } from "../wire/protocol_error.ts";

const ID_BYTES_MAX = 64;
const DOUBTFUL = 1;
const FORGETFUL = 2;
const FLAGS_MAX = DOUBTFUL | FORGETFUL;

/** The bytes of `record`. @throws RangeError where it breaks its bounds. */
export function encodeMemberRecord(record: MemberRecord): Uint8Array {
  const { channel, epoch, votedFor, isDoubtful, isForgetful, soundFrom, memberships } = record;
  checkId("channel", channel);
  checkId("vote", votedFor);
  if (memberships.length === 0 || memberships.length > MEMBERSHIPS_MAX) {
    throw new RangeError(`a record has ${memberships.length} memberships, allowed are 1 to ${MEMBERSHIPS_MAX}`);
  }
  const flags = (isDoubtful ? DOUBTFUL : 0) | (isForgetful ? FORGETFUL : 0);
  const fields = new FieldWriter(256).text(channel).u32(epoch).u8(flags).u53(soundFrom);
  fields.text(votedFor).u8(memberships.length);
  for (const { seq, epoch, membership } of memberships) {
    fields.u53(seq).u32(epoch).longBytes(encodeMembership(membership));
  }
  return fields.finish().slice();
}

/** The next record of `fields`. @throws ProtocolError where it is none. */
export function readMemberRecord(fields: FieldReader): MemberRecord {
  const [channel, epoch, flags, soundFrom] = [fields.text(ID_BYTES_MAX), fields.u32(), fields.u8(), fields.u53()];
  const [votedFor, count] = [fields.text(ID_BYTES_MAX), fields.u8()];
  if (channel === "" || flags > FLAGS_MAX || count === 0 || count > MEMBERSHIPS_MAX) {
    throw new ProtocolError(
      "malformed-message",
      `a record of channel "${channel}", flags ${flags}, ${count} memberships`,
    );
  }
  const memberships = Array.from({ length: count }, () => readMembershipEntry(fields));
  const isDoubtful = (flags & DOUBTFUL) !== 0;
  const isForgetful = (flags & FORGETFUL) !== 0;
  return { channel, epoch, votedFor, isDoubtful, ...(isForgetful ? { isForgetful } : {}), soundFrom, memberships };
}

function readMembershipEntry(fields: FieldReader): MembershipEntry {
  const [seq, epoch] = [fields.u53(), fields.u32()];
  return { seq, epoch, membership: decodeMembership(fields.longBytes(MEMBERSHIP_BYTES_MAX)) };
}

function checkId(what: "channel" | "vote", id: string): void {
  const byteLength = utf8(id).byteLength;
  if (byteLength > ID_BYTES_MAX || (what === "channel" && byteLength === 0) || !id.isWellFormed()) {
    throw new RangeError(`the ${what} of a record is ${JSON.stringify(id)}, allowed are ids of up to 64 bytes`);
  }
}
