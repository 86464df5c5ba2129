// What waits for a member's machine: messages, news of peers, the timer, and what was asked of it. Messages are bounded by the
// inbox, news by the number of peers, questions by their own bound.

import type { Clock } from "../core/environment.ts";
import { Inbox, ORDINARY_ITEMS_MAX, URGENT_ITEMS_MAX } from "../core/inbox.ts";
import type { MemberInput, MemberMessage } from "../core/replica_set.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { MemberError } from "./member_error.ts";

/** Hand-overs and changes of membership that may wait. */
const ASKED_MAX = 16;

export interface MemberInputsOptions {
  readonly clock: Clock;
  /** Bytes of entries that may wait. */
  readonly entriesBytesMax: number;
  /** Told that `next` has something. */
  readonly onInput: () => void;
}

interface PeerChange {
  readonly isUp: boolean;
  readonly isNewSession: boolean;
}

/** What was asked of the member: gives the input for the machine, or throws why there is none. */
interface Asked {
  readonly input: () => MemberInput;
  readonly taken: Deferred<void>;
}

export class MemberInputs {
  readonly #options: MemberInputsOptions;
  readonly #inbox: Inbox<MemberInput>;
  readonly #peers = new Map<string, PeerChange>();
  #asked: Asked[] = [];
  #isTimerDue = false;
  #cancelTimer = () => {};
  /** Why nothing is taken any more. */
  #end: { readonly reason: unknown } | undefined;

  constructor(options: MemberInputsOptions) {
    this.#options = options;
    this.#inbox = new Inbox({
      urgentItemsMax: URGENT_ITEMS_MAX,
      ordinaryItemsMax: ORDINARY_ITEMS_MAX,
      ordinaryBytesMax: options.entriesBytesMax,
    });
  }

  /** Takes a message of `from`; false where there is no room for it. */
  receive(from: string, message: MemberMessage): boolean {
    if (this.#end) return true;
    const input = { kind: "received", from, message } as const;
    const isTaken = isUrgent(message)
      ? this.#inbox.offerUrgent(input)
      : this.#inbox.offer(input, message.type === "entries" ? message.frames.byteLength : 0);
    this.#options.onInput();
    return isTaken;
  }

  /** Only the last news of a peer counts, but that there was a new session is not forgotten. */
  peer(peer: string, { isUp, isNewSession }: PeerChange): void {
    if (this.#end) return;
    const isNew = isNewSession || this.#peers.get(peer)?.isNewSession === true;
    this.#peers.set(peer, { isUp, isNewSession: isNew });
    this.#options.onInput();
  }

  /** Resolves once the machine has taken the input. @throws what `input` throws, MemberError `busy`, the reason of the end. */
  ask(input: () => MemberInput): Promise<void> {
    if (this.#end) return Promise.reject(this.#end.reason);
    if (this.#asked.length >= ASKED_MAX) {
      return Promise.reject(new MemberError("busy", `${ASKED_MAX} requests wait already`));
    }
    const taken = deferred<void>();
    this.#asked.push({ input, taken });
    this.#options.onInput();
    return taken.promise;
  }

  /** Says `timer` at `atMs` (monotonic), in place of any time said before. */
  setTimer(atMs: number | undefined): void {
    const { clock, onInput } = this.#options;
    this.#cancelTimer();
    this.#cancelTimer = () => {};
    if (atMs === undefined) return;
    this.#cancelTimer = clock.schedule(Math.max(0, atMs - clock.monotonic()), () => {
      this.#isTimerDue = true;
      onInput();
    });
  }

  /** The next input: news of peers first, then the timer, what was asked, and messages. */
  next(): MemberInput | undefined {
    for (const [peer, { isUp, isNewSession }] of this.#peers) {
      this.#peers.delete(peer);
      return isUp ? { kind: "peerUp", peer, isNewSession } : { kind: "peerDown", peer };
    }
    if (this.#isTimerDue) {
      this.#isTimerDue = false;
      return { kind: "timer" };
    }
    return this.#nextAsked() ?? this.#inbox.take();
  }

  /** Drops what waits; whoever has asked hears `reason`. Harmless when repeated. */
  close(reason: unknown): void {
    if (this.#end) return;
    this.#end = { reason };
    this.#cancelTimer();
    this.#inbox.clear();
    this.#peers.clear();
    for (const { taken } of this.#asked.splice(0)) taken.reject(reason);
  }

  #nextAsked(): MemberInput | undefined {
    for (let asked = this.#asked.shift(); asked; asked = this.#asked.shift()) {
      try {
        const input = asked.input();
        asked.taken.resolve();
        return input;
      } catch (error) {
        asked.taken.reject(error);
      }
    }
    return undefined;
  }
}

/** Messages of elections and refusals go before entries and what is about them. */
function isUrgent({ type }: MemberMessage): boolean {
  return type !== "entries" && type !== "feedAck" && type !== "feedRequest";
}
