// Who may begin a session: one gate for all listeners of a node, asked before anything is allocated for a peer.

import type { Clock } from "../core/environment.ts";
import { addressPrefix, isLoopbackAddress } from "./address_prefix.ts";

export interface AdmissionLimits {
  /** Sessions of the node, those that still shake hands included. */
  readonly sessionsMax: number;
  /** Sessions of one address prefix (IPv4 /24, IPv6 /56); loopback is exempt. */
  readonly sessionsPerPrefixMax: number;
  /** Handshakes that are under way at one time. */
  readonly handshakesMax: number;
  readonly handshakesPerSecond: number;
  /** Handshakes that may come at once after a quiet time. */
  readonly handshakeBurst: number;
}

export const ADMISSION_LIMITS: AdmissionLimits = {
  sessionsMax: 20_000,
  sessionsPerPrefixMax: 2_000,
  handshakesMax: 1_024,
  handshakesPerSecond: 200,
  handshakeBurst: 400,
};

export type RefusalCode = "too-many-handshakes" | "too-many-sessions" | "too-many-sessions-of-prefix";

/** Why a peer is turned away before its session begins. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly reason: string;
}

/** The place of one session. Harmless when repeated. */
export interface Admitted {
  /** Where the peer is, for a transport that learns it only now: the refusal if its prefix has no place left. Once. */
  located(peerAddress: string): Refusal | undefined;
  /** The handshake is over. */
  opened(): void;
  /** The session is over, or never came to be. */
  release(): void;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #clock: Clock;
  readonly #sessionsOf = new Map<string, number>();
  #sessionCount = 0;
  #handshakeCount = 0;
  #handshakesAllowed: number;
  #countedMs: number;

  constructor({ limits, clock }: { limits: AdmissionLimits; clock: Clock }) {
    this.#limits = limits;
    this.#clock = clock;
    this.#handshakesAllowed = limits.handshakeBurst;
    this.#countedMs = clock.monotonic();
  }

  get sessionCount(): number {
    return this.#sessionCount;
  }

  get handshakeCount(): number {
    return this.#handshakeCount;
  }

  /**
   * Asks for a place for a peer that begins its handshake; who gets one must release it. Where the transport does not tell the
   * address yet, it is left out and said by `located` as soon as it is known.
   */
  admit(peerAddress?: string): { readonly admitted: Admitted } | { readonly refusal: Refusal } {
    const refusal = this.#judge();
    if (refusal) return { refusal };
    let prefix: string | undefined;
    let [isShaking, isHeld] = [true, true];
    const located = (address: string) => {
      if (!isHeld || prefix !== undefined || isLoopbackAddress(address)) return undefined;
      const refusal = this.#judgePrefix(addressPrefix(address));
      if (!refusal) prefix = this.#countPrefix(addressPrefix(address), 1);
      return refusal;
    };
    const crowded = peerAddress === undefined ? undefined : located(peerAddress);
    if (crowded) return { refusal: crowded };
    this.#handshakesAllowed--;
    this.#handshakeCount++;
    this.#sessionCount++;
    const opened = () => {
      if (isShaking) this.#handshakeCount--;
      isShaking = false;
    };
    const release = () => {
      opened();
      if (isHeld) this.#sessionCount--;
      if (isHeld && prefix !== undefined) this.#countPrefix(prefix, -1);
      isHeld = false;
    };
    return { admitted: { located, opened, release } };
  }

  #judge(): Refusal | undefined {
    const { sessionsMax, handshakesMax, handshakesPerSecond } = this.#limits;
    if (this.#sessionCount >= sessionsMax) {
      return { code: "too-many-sessions", reason: `${sessionsMax} sessions are allowed` };
    }
    if (this.#handshakeCount >= handshakesMax) {
      return { code: "too-many-handshakes", reason: `${handshakesMax} handshakes at one time are allowed` };
    }
    this.#refill();
    if (this.#handshakesAllowed >= 1) return undefined;
    return { code: "too-many-handshakes", reason: `${handshakesPerSecond} handshakes a second are allowed` };
  }

  #refill(): void {
    const { handshakesPerSecond, handshakeBurst } = this.#limits;
    const nowMs = this.#clock.monotonic();
    const earned = (nowMs - this.#countedMs) * handshakesPerSecond / 1000;
    this.#handshakesAllowed = Math.min(handshakeBurst, this.#handshakesAllowed + earned);
    this.#countedMs = nowMs;
  }

  #judgePrefix(prefix: string): Refusal | undefined {
    const { sessionsPerPrefixMax } = this.#limits;
    if ((this.#sessionsOf.get(prefix) ?? 0) < sessionsPerPrefixMax) return undefined;
    return { code: "too-many-sessions-of-prefix", reason: `${sessionsPerPrefixMax} sessions of ${prefix} are allowed` };
  }

  #countPrefix(prefix: string, change: 1 | -1): string {
    const count = (this.#sessionsOf.get(prefix) ?? 0) + change;
    if (count === 0) this.#sessionsOf.delete(prefix);
    else this.#sessionsOf.set(prefix, count);
    return prefix;
  }
}
