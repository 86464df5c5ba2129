// Appends that come over a session. Holds: they begin in the order in which they came; what is under way is bounded, and what
// comes then waits at the sender; each is answered, unless the session ends before.

import { type Deferred, deferred } from "../lib/deferred.ts";
import type { Append, Appended, AppendRefused } from "../wire/append_messages.ts";
import { encodeMessage } from "../wire/messages.ts";
import type { LaneWriter } from "./lane_writer.ts";

/** Appends of one session that may be under way, and their bytes. */
export const APPENDS_UNDER_WAY_MAX = 256;
export const APPEND_BYTES_UNDER_WAY_MAX = 4 << 20;

/** Does what the message asks for: the entries get their place before it returns, the answer follows. Never rejects. */
export type AppendHandler = (append: Append) => Promise<Appended | AppendRefused>;

export class AppendIntake {
  readonly #handle: AppendHandler;
  readonly #answers: LaneWriter;
  #count = 0;
  #bytes = 0;
  #room: Deferred<void> | undefined;
  #isStopped = false;

  constructor(handle: AppendHandler, answers: LaneWriter) {
    this.#handle = handle;
    this.#answers = answers;
  }

  /** Resolves when the append has begun: what follows it on the lane waits until then. */
  async take(append: Append): Promise<void> {
    while (this.#isFull && !this.#isStopped) {
      this.#room ??= deferred<void>();
      await this.#room.promise;
    }
    if (!this.#isStopped) void this.#answer(append);
  }

  /** The session is over: nothing more begins. What is under way goes on. */
  stop(): void {
    this.#isStopped = true;
    this.#room?.resolve();
  }

  get #isFull(): boolean {
    return this.#count >= APPENDS_UNDER_WAY_MAX || this.#bytes >= APPEND_BYTES_UNDER_WAY_MAX;
  }

  async #answer(append: Append): Promise<void> {
    const { byteLength } = append.frames;
    this.#count++;
    this.#bytes += byteLength;
    const answer = await this.#handle(append);
    this.#count--;
    this.#bytes -= byteLength;
    this.#room?.resolve();
    this.#room = undefined;
    if (!this.#isStopped) this.#answers.push(encodeMessage(answer));
  }
}
