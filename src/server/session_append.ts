// An append that came over a session: the same as over HTTP, answered by messages.

import type { Crc32 } from "../core/environment.ts";
import type { Append, Appended, AppendRefused } from "../wire/append_messages.ts";
import { checkAppend } from "../wire/stamp_run.ts";
import type { Appendable } from "./channels.ts";
import { documentOf } from "./problem_document.ts";
import { Refusal } from "./refusal.ts";

export interface SessionAppendOptions {
  /** The channel of that name. @throws Refusal */
  readonly appendable: (name: string) => Appendable;
  readonly crc32: Crc32;
  /** Told of failures that nobody expects. */
  readonly onInternal: (error: unknown) => void;
}

/** Appends what `message` says. The entries have their place when this returns; never rejects. */
export async function appendForSession(
  message: Append,
  { appendable, crc32, onInternal }: SessionAppendOptions,
): Promise<Appended | AppendRefused> {
  const { requestId, channel: name, frames, ack, isSynced, producer } = message;
  try {
    const channel = appendable(name);
    if (frames.byteLength === 0) throw new Refusal("empty-append", "the append has no entry");
    checkAppend(frames, channel.config.limits.entryBytesMax, crc32);
    const expectNextSeq = message.expectNextSeq === 0 ? undefined : message.expectNextSeq;
    const answer = await channel.append({ frames, ack, isSynced, producer, expectNextSeq });
    const { firstSeq, lastSeq, epoch, isDuplicate = false, ack: { achieved, copies, synced } } = answer;
    return { type: "appended", requestId, firstSeq, lastSeq, epoch, isDuplicate, achieved, copies, synced };
  } catch (error) {
    return { type: "appendRefused", requestId, problem: JSON.stringify(documentOf(error, onInternal)) };
  }
}
