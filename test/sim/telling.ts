// What is told of a simulation, in words: errors, events and messages, each on one line.

import type { MemberEvent, MemberMessage } from "../../src/core/replica_set.ts";
import { StoreError } from "../../src/log/store_error.ts";
import { MemberError } from "../../src/stream/member_error.ts";

/** Whether the disk is to blame, or the end of the member that the disk has caused. */
export function isOfDisk(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof StoreError || cause instanceof MemberError) return true;
  }
  return false;
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `; ${describe(error.cause)}`;
  return `${error.name}: ${error.message}${cause}`;
}

export function tellEvent({ event, ...rest }: MemberEvent): string {
  return `${event} ${
    Object.values(rest).map((value) => typeof value === "object" ? JSON.stringify(value) : value).join(" ")
  }`;
}

export function tellMessage(message: MemberMessage): string {
  const { type, channel, epoch } = message;
  const head = `${type} ${channel} e${epoch}`;
  switch (message.type) {
    case "voteRequest": {
      const { isPreVote, isTransfer, isDoubtful, end } = message;
      const kind = `${isPreVote ? " pre" : ""}${isTransfer ? " transfer" : ""}${isDoubtful ? " doubtful" : ""}`;
      return `${head}${kind} end ${end.seq}@${end.epoch}`;
    }
    case "voteReply": {
      const { isPreVote, isGranted, isDoubtful } = message;
      return `${head}${isPreVote ? " pre" : ""}${isDoubtful ? " doubtful" : ""} ${isGranted ? "yes" : "no"}`;
    }
    case "memberState":
      return `${head} ${message.role} of ${message.leader} end ${message.end.seq}@${message.end.epoch} commit ${message.commit}`;
    case "feedRequest":
      return `${head} #${message.requestId % 1000} from ${message.from} after e${message.epochBefore}`;
    case "feedNack":
      return `${head} #${message.requestId % 1000} ${message.code} ${message.seq}@${message.epochAt}`;
    case "entries": {
      const { requestId, from, epochBefore, frames, end, commit } = message;
      const size = `${frames.byteLength} bytes end ${end.seq}@${end.epoch} commit ${commit}`;
      return `${head} #${requestId % 1000} from ${from} after e${epochBefore} ${size}`;
    }
    case "feedAck": {
      const { requestId, writtenSeq, syncedSeq, commit } = message;
      return `${head} #${requestId % 1000} written ${writtenSeq} synced ${syncedSeq} commit ${commit}`;
    }
    case "succeed":
      return head;
  }
}
