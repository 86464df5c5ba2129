// Frames between a member's machine and its log: what a leader has sent, verified where it is to follow on, and the entries
// that a leader makes itself.

import type { Environment } from "../core/environment.ts";
import type { Epoch, LogTail } from "../core/position.ts";
import type { Entries, MembershipEntry, OwnEntry } from "../core/replica_set.ts";
import { EMPTY_BYTES } from "../lib/bytes.ts";
import { EntryType } from "../wire/frame.ts";
import { type FrameRun, type MembershipFrame, walkFrames } from "../wire/frame_run.ts";
import { decodeMembership, encodeMembership } from "../wire/membership.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { frameUnplaced, stampRun } from "../wire/stamp_run.ts";

export interface ReceivedFrames {
  readonly run: FrameRun;
  readonly memberships: readonly MembershipEntry[];
}

/**
 * The frames of `message` as a run that follows `after`.
 * @throws ProtocolError where they are not whole, not sound, not what follows, or of an epoch that the leader has not.
 */
export function verifyFrames(
  message: Entries,
  { after, environment, entryBytesMax }: { after: LogTail; environment: Environment; entryBytesMax: number },
): ReceivedFrames {
  const { frames, from, epoch } = message;
  if (from !== after.nextSeq || message.epochBefore !== after.epoch) {
    const found = `entry ${from} after epoch ${message.epochBefore}`;
    throw new ProtocolError(
      "seq-out-of-order",
      `expected entry ${after.nextSeq} after epoch ${after.epoch}, got ${found}`,
    );
  }
  const walk = walkFrames(frames, { crc32: environment.crc32, entryBytesMax, after });
  if (walk.end !== frames.byteLength) {
    throw new ProtocolError("malformed-frame", `${frames.byteLength - walk.end} bytes of a frame that is not whole`);
  }
  if (walk.tail.epoch > epoch) {
    throw new ProtocolError(
      "malformed-frame",
      `an entry of epoch ${walk.tail.epoch} from the leader of epoch ${epoch}`,
    );
  }
  const { tail, epochStarts } = walk;
  return {
    run: {
      parts: [frames],
      byteLength: frames.byteLength,
      firstSeq: from,
      tail,
      epochStarts,
      memberships: walk.memberships,
    },
    memberships: walk.memberships.map(membershipEntry),
  };
}

/** @throws ProtocolError where the payload is no membership. */
export function membershipEntry({ seq, epoch, payload }: MembershipFrame): MembershipEntry {
  return { seq, epoch, membership: decodeMembership(payload) };
}

/** An entry that the leader makes itself, as a run after `after`. */
export function ownRun(
  entry: OwnEntry,
  { after, epoch, environment }: { after: LogTail; epoch: Epoch; environment: Environment },
): FrameRun {
  const { clock, crc32 } = environment;
  const frames = entry.kind === "epochStart"
    ? frameUnplaced([EMPTY_BYTES], EntryType.epochStart)
    : frameUnplaced([encodeMembership(entry.membership)], EntryType.membership);
  return stampRun(frames, { after, epoch, now: clock.now(), crc32 });
}
