// Appends that a replica or program makes over its session: sent in the order of the calls, many under way at a time, each
// settled by its answer or by the session's end.

import { type Deferred, deferred } from "../lib/deferred.ts";
import {
  type Append,
  APPEND_FRAMES_BYTES_MAX,
  type Appended,
  type AppendRefused,
  encodeAppendHeader,
} from "../wire/append_messages.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { AppendError } from "./append_error.ts";
import type { LaneWriter } from "./lane_writer.ts";

/** Appends that may be unanswered, and their bytes; more are refused as `busy`. */
const UNANSWERED_MAX = 1024;
const UNANSWERED_BYTES_MAX = 16 << 20;

export type AppendCall = Omit<Append, "type" | "requestId">;

export class AppendCalls {
  readonly #lane: LaneWriter;
  readonly #unanswered = new Map<number, Deferred<Appended>>();
  #unansweredBytes = 0;
  #lastRequestId = 0;
  #lost: AppendError | undefined;

  constructor(lane: LaneWriter) {
    this.#lane = lane;
  }

  /**
   * Appends; `call.frames` belong to the session from now on. AppendError with the code of the refusal, `busy` or `too-large`
   * where nothing was sent, `lost` where the session ended before the answer: then it may have happened.
   */
  async append(call: AppendCall): Promise<Appended> {
    if (this.#lost) throw this.#lost;
    const { byteLength } = call.frames;
    if (byteLength > APPEND_FRAMES_BYTES_MAX) {
      const found = `an append of ${byteLength} bytes`;
      throw new AppendError("too-large", `${found}, over a session ${APPEND_FRAMES_BYTES_MAX} are allowed`);
    }
    if (this.#unanswered.size >= UNANSWERED_MAX || this.#unansweredBytes >= UNANSWERED_BYTES_MAX) {
      const waiting = `${this.#unanswered.size} appends of ${this.#unansweredBytes} bytes`;
      throw new AppendError("busy", `${waiting} wait for their answers already`);
    }
    const requestId = ++this.#lastRequestId;
    const answer = deferred<Appended>();
    this.#unanswered.set(requestId, answer);
    this.#unansweredBytes += byteLength;
    // Where the lane takes nothing any more, the end of the session tells.
    this.#lane.write(encodeAppendHeader({ type: "append", requestId, ...call }), call.frames).catch(() => {});
    try {
      return await answer.promise;
    } finally {
      this.#unanswered.delete(requestId);
      this.#unansweredBytes -= byteLength;
    }
  }

  /** Takes an answer. @throws ProtocolError for one that nobody waits for, or that cannot be read. */
  answered(message: Appended | AppendRefused): void {
    const answer = this.#unanswered.get(message.requestId);
    if (!answer) throw new ProtocolError("unexpected-message", `an answer to append ${message.requestId}`);
    if (message.type === "appended") answer.resolve(message);
    else answer.reject(AppendError.ofProblem(message.problem));
  }

  /** The session is over. */
  end(reason: string): void {
    this.#lost = new AppendError("lost", `the session ended before the answer (${reason})`, { hasSideEffects: true });
    for (const answer of this.#unanswered.values()) answer.reject(this.#lost);
  }
}
