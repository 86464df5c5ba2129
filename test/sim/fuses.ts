// Crashes that wait for their moment: inside an operation of the disk, or right after a word that others act upon.

import type { MemberMessage } from "../../src/core/replica_set.ts";

/** `power`: what was not synced is lost, more or less. `kill`: only the process is gone. */
export type Death = "power" | "kill";

/** A crash, so many turns of the node's promises after its moment. */
export interface Crash {
  readonly turns: number;
  readonly death: Death;
}

export class Fuses {
  readonly #crash: (place: string, crash: Crash) => void;
  #disk: { left: number; readonly death: Death } | undefined;
  #promise: (Crash & { readonly type: MemberMessage["type"] }) | undefined;

  constructor(crash: (place: string, crash: Crash) => void) {
    this.#crash = crash;
  }

  /** Crashes after `count` more operations of the disk, between the operation and its answer. */
  armDisk(count: number, death: Death): void {
    this.#disk = { left: count, death };
  }

  /** Crashes after the next message of `type` that others act upon. */
  armPromise(type: MemberMessage["type"], crash: Crash): void {
    this.#promise = { type, ...crash };
  }

  disarm(): void {
    this.#disk = this.#promise = undefined;
  }

  /** An operation of the disk is done, and its caller does not know it yet. */
  performed(): void {
    if (!this.#disk || --this.#disk.left > 0) return;
    const { death } = this.#disk;
    this.#disk = undefined;
    this.#crash("crash inside a disk operation", { turns: 0, death });
  }

  /** The node has said `message`. */
  said(message: MemberMessage): void {
    if (this.#promise?.type !== message.type) return;
    if (message.type === "voteReply" && (message.isPreVote || !message.isGranted)) return;
    const crash = this.#promise;
    this.#promise = undefined;
    // Not at once: the node is in the middle of saying it.
    this.#crash("crash after a promise", { ...crash, turns: crash.turns + 1 });
  }
}
