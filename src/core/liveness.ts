// Which peers are there, for all channels of a node at once: a peer is up from the beginning of a session with it until the
// session ends, or until it has been silent for so long, and so unlike itself (phi.ts), that elections need not wait for it.

export interface LivenessOptions {
  /** Silence below this is never taken for an end, in ms. */
  readonly silenceMsMin: number;
  /** How suspicious a silence must be (phi.ts). */
  readonly phiMin: number;
}

/** A wrong guess in a thousand. */
export const DOWN_PHI_MIN = 3;
/** A silent peer that is not suspicious enough yet is looked at again after this share of the shortest silence. */
const AGAIN_SHARE = 1 / 6;

/**
 * A look that comes so much too late judges nobody: the node itself was busy or stopped, and what its peers have said meanwhile
 * is still to be read. After so many late looks in a row it judges all the same.
 */
const LATE_MS = 25;
const LATE_LOOKS_MAX = 20;

interface Peer {
  heardMs: number;
  isUp: boolean;
}

/** Who fell silent, and when to look again; `undefined` while there is nobody to look after. */
export interface Due {
  readonly down: readonly string[];
  readonly nextMs: number | undefined;
}

export class Liveness {
  readonly #options: LivenessOptions;
  readonly #peers = new Map<string, Peer>();
  /** When the next look is due, and how many came too late. */
  #dueMs: number | undefined;
  #lateLooks = 0;

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  /** Peers that are up, sorted. */
  get up(): string[] {
    return [...this.#peers].filter(([, { isUp }]) => isUp).map(([id]) => id).sort();
  }

  isUp(peerId: string): boolean {
    return this.#peers.get(peerId)?.isUp === true;
  }

  /** There is a new session with the peer, which counts as a sign of life. */
  connected(peerId: string, nowMs: number): void {
    this.#peers.set(peerId, { heardMs: nowMs, isUp: true });
  }

  /** A heartbeat; answers whether the peer was taken to be down until now. Of a peer without a session it changes nothing. */
  heard(peerId: string, nowMs: number): boolean {
    const peer = this.#peers.get(peerId);
    if (!peer) return false;
    peer.heardMs = nowMs;
    const isBack = !peer.isUp;
    peer.isUp = true;
    return isBack;
  }

  /** The session is over; answers whether the peer was up until now. */
  lost(peerId: string): boolean {
    const wasUp = this.isUp(peerId);
    this.#peers.delete(peerId);
    return wasUp;
  }

  /** Looks at the clock. `phiOf` tells how suspicious the silence of a peer is. */
  due(nowMs: number, phiOf: (peerId: string) => number): Due {
    const { silenceMsMin } = this.#options;
    const isLate = this.#dueMs !== undefined && nowMs - this.#dueMs > LATE_MS;
    this.#lateLooks = isLate ? this.#lateLooks + 1 : 0;
    const canJudge = !isLate || this.#lateLooks > LATE_LOOKS_MAX;
    const due = canJudge ? this.#judge(nowMs, phiOf) : { down: [], nextMs: nowMs + silenceMsMin * AGAIN_SHARE };
    this.#dueMs = due.nextMs;
    return due;
  }

  #judge(nowMs: number, phiOf: (peerId: string) => number): Due {
    const { silenceMsMin, phiMin } = this.#options;
    const down: string[] = [];
    let nextMs: number | undefined;
    for (const [id, peer] of this.#peers) {
      if (!peer.isUp) continue;
      const isSilent = nowMs - peer.heardMs >= silenceMsMin;
      if (isSilent && phiOf(id) >= phiMin) {
        peer.isUp = false;
        down.push(id);
        continue;
      }
      const againMs = isSilent ? nowMs + silenceMsMin * AGAIN_SHARE : peer.heardMs + silenceMsMin;
      nextMs = Math.min(nextMs ?? Infinity, againMs);
    }
    return { down: down.sort(), nextMs };
  }
}
