// A member for the explorer (member_explorer.ts): its machine, log and disk as a pure function of all it has heard so far, so that a
// state is known by that history and comes again by playing it.

import { MemberMachine } from "../../src/core/member.ts";
import type { Seq } from "../../src/core/position.ts";
import type { Entries, MemberEffect, MemberInput, MemberMessage, MemberRecord } from "../../src/core/replica_set.ts";
import { endOf, type ModelEntry, startsOf } from "./model_node.ts";

export interface Letter {
  readonly from: string;
  readonly to: string;
  readonly message: MemberMessage;
  readonly entries: readonly ModelEntry[];
}

/** What can happen to a node. `restart`: what is not synced is lost, and all else where it `isWiped`. */
export type Step =
  | { readonly kind: "letter"; readonly letter: Letter }
  | { readonly kind: "timer" | "sync" | "append" }
  | { readonly kind: "lost" | "found"; readonly peer: string }
  | { readonly kind: "restart"; readonly isWiped: boolean; readonly up: readonly string[] };

export const VOTERS = ["a", "b", "c"];
const FIRST_LOG: readonly ModelEntry[] = [{ epoch: 1, value: 0 }];

export class ExploredNode {
  readonly id: string;
  log: ModelEntry[] = [...FIRST_LOG];
  syncedCount: number = FIRST_LOG.length;
  record: MemberRecord;
  machine!: MemberMachine;
  wakeMs: number | undefined;
  /** Letters of the last step. */
  outbox: Letter[] = [];
  #nowMs = 0;
  #lives = 0;
  readonly #feeds = new Map<string, { readonly requestId: number; next: Seq }>();

  constructor(id: string) {
    this.id = id;
    const memberships = [{ seq: 0, epoch: 0, membership: { voters: VOTERS, observers: [] } }];
    this.record = { channel: "c", epoch: 1, votedFor: "a", isDoubtful: false, soundFrom: 0, memberships };
    this.#start(VOTERS.filter((other) => other !== id));
  }

  step(step: Step): void {
    this.outbox = [];
    switch (step.kind) {
      case "letter":
        return this.#hear(
          { kind: "received", from: step.letter.from, message: step.letter.message },
          step.letter.entries,
        );
      case "timer":
        this.#nowMs = Math.max(this.#nowMs, this.wakeMs!);
        this.wakeMs = undefined;
        return this.#hear({ kind: "timer" });
      case "sync":
        this.syncedCount = this.log.length;
        this.#hear({ kind: "written", seq: this.syncedCount });
        return this.#hear({ kind: "synced", seq: this.syncedCount });
      case "append":
        this.log.push({ epoch: this.machine.epoch, value: this.log.length });
        this.#hear({ kind: "appended", end: endOf(this.log) });
        return this.#push();
      case "lost":
        return this.#hear({ kind: "peerDown", peer: step.peer });
      case "found":
        return this.#hear({ kind: "peerUp", peer: step.peer, isNewSession: true });
      case "restart":
        return this.#restart(step.isWiped, step.up);
    }
  }

  #restart(isWiped: boolean, up: readonly string[]): void {
    this.log.length = isWiped ? 0 : this.syncedCount;
    this.syncedCount = this.log.length;
    this.#feeds.clear();
    this.wakeMs = undefined;
    if (isWiped) this.record = { ...this.record, epoch: 0, votedFor: "", isDoubtful: true, isForgetful: true };
    this.#start(up);
  }

  #start(up: readonly string[]): void {
    let state = ++this.#lives * 1_000 + this.id.charCodeAt(0);
    this.machine = new MemberMachine({
      nodeId: this.id,
      record: this.record,
      end: endOf(this.log),
      epochStarts: startsOf(this.log),
      writtenSeq: this.log.length,
      syncedSeq: this.log.length,
      isLogSound: true,
      timing: { heartbeatMs: 100, electionMsMin: 300, electionMsMax: 600 },
      creditBytes: 1_000,
      random: () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32,
      haste: () => 0,
    });
    this.#perform(this.machine.start(this.#nowMs, up), []);
  }

  #hear(input: MemberInput, entries: readonly ModelEntry[] = []): void {
    this.#perform(this.machine.step(input, this.#nowMs), entries);
  }

  #perform(effects: readonly MemberEffect[], entries: readonly ModelEntry[]): void {
    for (const effect of effects) {
      if (effect.kind === "keep") this.record = effect.record;
      else if (effect.kind === "truncate") this.log.length = effect.nextSeq - 1;
      else if (effect.kind === "send") this.#post(effect.to, effect.message);
      else if (effect.kind === "append") this.log.push({ epoch: effect.epoch, value: 0 });
      else if (effect.kind === "store") this.#store(entries);
      else if (effect.kind === "stopFeed") this.#feeds.delete(effect.to);
      else if (effect.kind === "wake") this.wakeMs = effect.atMs;
      else if (effect.kind === "feed") {
        this.#feeds.set(effect.to, { requestId: effect.requestId, next: effect.from });
        this.#postEntries(effect.to);
      }
      this.syncedCount = Math.min(this.syncedCount, this.log.length);
    }
  }

  #store(entries: readonly ModelEntry[]): void {
    const before = this.log.length;
    this.log.push(...entries);
    const epochStarts = startsOf(this.log).filter(({ seq }) => seq > before);
    this.#hear({ kind: "stored", end: endOf(this.log), byteLength: entries.length, epochStarts });
  }

  #push(): void {
    for (const [to, { next }] of this.#feeds) if (next <= this.log.length) this.#postEntries(to);
  }

  #postEntries(to: string): void {
    const feed = this.#feeds.get(to)!;
    const entries = this.log.slice(feed.next - 1);
    const { epoch, commit } = this.machine;
    const message: Entries = {
      type: "entries",
      channel: "c",
      epoch,
      requestId: feed.requestId,
      from: feed.next,
      epochBefore: this.log[feed.next - 2]?.epoch ?? 0,
      end: endOf(this.log),
      commit,
      frames: new Uint8Array(entries.length),
    };
    feed.next += entries.length;
    this.#post(to, message, entries);
  }

  #post(to: string, message: MemberMessage, entries: readonly ModelEntry[] = []): void {
    this.outbox.push({ from: this.id, to, message, entries });
  }
}
