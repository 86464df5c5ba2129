// The replica's way into its log: frames of a leader are verified, the memberships among them kept, and only then appended.

import type { Environment } from "../core/environment.ts";
import type { Entries, MemberInput } from "../core/replica_set.ts";
import { messageOf } from "../lib/message_of.ts";
import type { Log } from "../log/log_store.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import type { LogWatch } from "./log_watch.ts";
import { type ReceivedFrames, verifyFrames } from "./member_frames.ts";

export interface FrameIntakeOptions {
  readonly watch: LogWatch;
  readonly environment: Environment;
  readonly entryBytesMax: number;
}

export class FrameIntake {
  readonly #log: Log;
  readonly #options: FrameIntakeOptions;
  #verified: { readonly received: ReceivedFrames; isFound: boolean } | undefined;
  #refusal: string | undefined;

  constructor(log: Log, options: FrameIntakeOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Verifies the frames of `message`; what comes of it is the next input. */
  take(message: Entries): void {
    const { environment, entryBytesMax } = this.#options;
    try {
      const received = verifyFrames(message, { after: this.#log.tail, environment, entryBytesMax });
      this.#verified = { received, isFound: received.memberships.length === 0 };
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refusal = error.message;
    }
  }

  /** What the machine must hear before anything else, once the effects of the input before are performed. */
  next(): MemberInput | undefined {
    if (this.#refusal !== undefined) {
      const reason = this.#refusal;
      this.#refusal = undefined;
      return { kind: "refused", reason };
    }
    const verified = this.#verified;
    if (!verified) return undefined;
    if (!verified.isFound) {
      verified.isFound = true;
      return { kind: "found", memberships: verified.received.memberships };
    }
    this.#verified = undefined;
    return this.#append(verified.received);
  }

  #append({ run }: ReceivedFrames): MemberInput {
    try {
      this.#log.append(run);
    } catch (error) {
      // The log was fenced or taken back since; that is an input of its own.
      return { kind: "refused", reason: messageOf(error) };
    }
    this.#options.watch.appended(run.tail, true);
    const { tail: { nextSeq, epoch }, byteLength, epochStarts } = run;
    return { kind: "stored", end: { seq: nextSeq - 1, epoch }, byteLength, epochStarts };
  }
}
