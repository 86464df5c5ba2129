// Why a member of a replica set did not do what it was asked for.

import type { Epoch } from "../core/position.ts";

/**
 * `not-leader`: another node leads, or none; nothing has happened. `lost-leadership`: it led when it appended, and does not any
 * more; the entries may yet be committed. `not-stored`: the write failed and was undone, and nobody else has seen it; the cause
 * tells why. `timeout`: not achieved in time; it may yet be. `fenced`: its log takes nothing any more.
 * `refused`: what was asked for is not allowed now. `busy`: too much of the kind waits. `closed`: the member has stopped.
 */
export type MemberErrorCode =
  | "not-leader"
  | "lost-leadership"
  | "not-stored"
  | "timeout"
  | "fenced"
  | "refused"
  | "busy"
  | "closed";

export class MemberError extends Error {
  override name = "MemberError";
  readonly code: MemberErrorCode;
  /** Id of the node that leads, as far as this one knows. */
  readonly leader: string | undefined;

  constructor(code: MemberErrorCode, message: string, options: { cause?: unknown; leader?: string | undefined } = {}) {
    super(message, options);
    this.code = code;
    this.leader = options.leader;
  }

  /** Whether what was asked for may have happened, or happen yet. */
  get sideEffects(): "none" | "possible" {
    return this.code === "lost-leadership" || this.code === "timeout" ? "possible" : "none";
  }
}

/** The node takes part no more. */
export function leftChannel(channel: string): MemberError {
  return new MemberError("closed", `this node has left channel ${channel}`);
}

export function lostLeadership(
  { channel, leader }: { readonly channel: string; readonly leader: string | undefined },
  { epoch, cause }: { epoch: Epoch; cause?: unknown },
): MemberError {
  const message = `this node leads ${channel} in epoch ${epoch} no more`;
  return new MemberError("lost-leadership", message, cause === undefined ? { leader } : { leader, cause });
}

export function notStored(channel: string, cause: Error | undefined): MemberError {
  const reason = cause?.message ?? "a write failed";
  return new MemberError("not-stored", `the entries of ${channel} are not stored: ${reason}`, { cause });
}
