// Looks at all replicas between any two moments and holds what it sees against the promises of a replica set: one leader an
// epoch, log matching, leader completeness, commit that never goes back, is the same everywhere, and is on the disks of a
// majority; one vote an epoch. It knows everything and changes nothing.

import type { MemberMessage, Role } from "../../src/core/replica_set.ts";
import type { FrameRun } from "../../src/wire/frame_run.ts";
import type { Log } from "../../src/log/log_store.ts";
import type { LogWatcher } from "./watched_log.ts";
import { isKnown, Shadow, type ShadowEntry } from "./shadow.ts";

/** A member as the oracle reads it. */
export interface Observed {
  readonly role: Role;
  readonly epoch: number;
  readonly commit: { readonly value: number };
  readonly membership: { readonly voters: readonly string[]; readonly observers: readonly string[] };
  readonly log: Log;
}

/** What all agree on at a seq, for ever. */
interface Committed extends ShadowEntry {
  /** Epoch of the leader that committed it first. */
  readonly inEpoch: number;
}

interface Replica {
  readonly shadow: Shadow;
  readonly nodeId: string;
  epoch: number;
  role: Role;
  commit: number;
  synced: number;
  /** It is the only member: nobody else has seen what it takes back. */
  isAlone: boolean;
}

class ChannelFacts {
  readonly committed: Committed[] = [];
  /** Highest entry that any node has taken for committed. */
  commitMax = 0;
  readonly leaders = new Map<number, string>();
  /** Chain after the entry of an epoch at a seq: equal in every log. */
  readonly chains = new Map<string, number>();
  /** Votes: whom a node has voted for, by node and epoch. */
  readonly votes = new Map<string, string>();
  /** By node: the highest epoch that it has said to be in. */
  readonly promised = new Map<string, number>();
  /** By node: what was ever synced there, by seq. Outlives the node's lives, as its disk does. */
  readonly synced = new Map<string, number[]>();
}

export class Oracle {
  readonly #channels = new Map<string, ChannelFacts>();
  readonly #replicas = new Map<string, Replica>();
  readonly #injured = new Set<string>();
  readonly #onViolation: (violation: string) => void;
  /** Leaderships that were seen. */
  elections = 0;

  constructor(onViolation: (violation: string) => void) {
    this.#onViolation = onViolation;
  }

  /** Highest entry that any node has taken for committed. */
  committedSeq(channel: string): number {
    return this.#facts(channel).commitMax;
  }

  /** Chain up to and with a committed entry, where it is known. */
  committedChain(channel: string, seq: number): number | undefined {
    return seq === 0 ? 0 : this.#facts(channel).committed[seq - 1]?.chain;
  }

  /** A life of `nodeId` has opened its log, which holds `shadow`. */
  opened(channel: string, nodeId: string, shadow: Shadow): void {
    const replica: Replica = { shadow, nodeId, epoch: 0, role: "idle", commit: 0, synced: 0, isAlone: false };
    this.#replicas.set(keyOf(channel, nodeId), replica);
    this.#matching(channel, replica, { entries: shadow.entries, firstSeq: 1 });
  }

  /** Watches the log of `nodeId` as long as `isAlive`. */
  watcher(channel: string, nodeId: string, isAlive: () => boolean): LogWatcher {
    return {
      appended: (run, chainBefore) => isAlive() && this.#appended(channel, nodeId, { run, chainBefore }),
      truncating: (nextSeq) => isAlive() && this.#truncating(channel, nodeId, nextSeq),
    };
  }

  /** The life of `nodeId` is over. */
  closed(channel: string, nodeId: string): void {
    this.#replicas.delete(keyOf(channel, nodeId));
  }

  observe(channel: string, nodeId: string, member: Observed): void {
    const replica = this.#replicas.get(keyOf(channel, nodeId));
    if (!replica) return;
    const { log, role, epoch, membership: { voters, observers } } = member;
    replica.isAlone = voters.length + observers.length === 1;
    this.#cut(channel, replica, log.tail.nextSeq - 1);
    if (log.synced.value !== replica.synced) this.#synced(channel, replica, log.synced.value);
    const isOldLeader = role === "leader" && replica.role === "leader" && replica.epoch === epoch;
    if (role !== replica.role || epoch !== replica.epoch) this.#changedRole(channel, replica, member);
    if (isOldLeader && member.commit.value > replica.commit) this.#ofOwnEpoch(channel, replica, member);
    if (member.commit.value !== replica.commit) this.#changedCommit(channel, replica, member);
  }

  /** Who leads the latest epoch that has a leader. */
  latestLeader(channel: string): string | undefined {
    const { leaders } = this.#facts(channel);
    return leaders.get(Math.max(...leaders.keys()));
  }

  /** The disk of `nodeId` was damaged: it may forget what it has promised. */
  injured(nodeId: string): void {
    this.#injured.add(nodeId);
  }

  /** A message leaves `from`. */
  sent(from: string, to: string, message: MemberMessage): void {
    const isPromise = message.type !== "voteRequest" && (message.type !== "voteReply" || !message.isPreVote);
    if (isPromise) {
      const { promised } = this.#facts(message.channel);
      promised.set(from, Math.max(message.epoch, promised.get(from) ?? 0));
    }
    if (message.type !== "voteReply" || message.isPreVote || !message.isGranted || message.isDoubtful) return;
    this.#voted(message.channel, { voter: from, candidate: to, epoch: message.epoch });
  }

  #facts(channel: string): ChannelFacts {
    let facts = this.#channels.get(channel);
    if (!facts) this.#channels.set(channel, facts = new ChannelFacts());
    return facts;
  }

  #fail(channel: string, what: string): void {
    this.#onViolation(`channel ${channel}: ${what}`);
  }

  #voted(channel: string, { voter, candidate, epoch }: { voter: string; candidate: string; epoch: number }): void {
    const { votes } = this.#facts(channel);
    const before = votes.get(`${voter} ${epoch}`);
    if (before !== undefined && before !== candidate) {
      this.#fail(channel, `${voter} voted in epoch ${epoch} for ${before} and for ${candidate}`);
    }
    votes.set(`${voter} ${epoch}`, candidate);
  }

  #appended(channel: string, nodeId: string, { run, chainBefore }: { run: FrameRun; chainBefore: number }): void {
    const replica = this.#replicas.get(keyOf(channel, nodeId));
    if (!replica) return;
    this.#cut(channel, replica, run.firstSeq - 1);
    this.#matching(channel, replica, {
      entries: replica.shadow.append(run, chainBefore),
      firstSeq: run.firstSeq,
    });
  }

  /** What is committed is truncated nowhere. */
  #truncating(channel: string, nodeId: string, nextSeq: number): void {
    const own = this.#replicas.get(keyOf(channel, nodeId))?.shadow.at(nextSeq);
    const committed = this.#facts(channel).committed[nextSeq - 1];
    if (!isKnown(own) || own.chain !== committed?.chain) return;
    this.#fail(channel, `${nodeId} truncates its log from entry ${nextSeq} on, which is committed`);
  }

  /** The log ends with entry `length` again. */
  #cut(channel: string, { shadow, isAlone }: Replica, length: number): void {
    if (shadow.entries.length <= length) return;
    const cut = shadow.entries.splice(length);
    if (!isAlone) return;
    const { chains } = this.#facts(channel);
    for (const [index, { epoch }] of cut.entries()) chains.delete(`${epoch}:${length + 1 + index}`);
  }

  /** The same epoch at the same seq is the same entry after the same entries, in every log. */
  #matching(
    channel: string,
    { nodeId }: Replica,
    { entries, firstSeq }: { entries: readonly ShadowEntry[]; firstSeq: number },
  ) {
    const { chains } = this.#facts(channel);
    for (const [index, entry] of entries.entries()) {
      if (!isKnown(entry)) continue;
      const seq = firstSeq + index;
      const key = `${entry.epoch}:${seq}`;
      const known = chains.get(key);
      if (known === undefined) chains.set(key, entry.chain);
      else if (known !== entry.chain) {
        this.#fail(
          channel,
          `log matching: entry ${seq} of epoch ${entry.epoch} on ${nodeId} is not what it is elsewhere`,
        );
        return;
      }
    }
  }

  #synced(channel: string, replica: Replica, synced: number): void {
    const { synced: all } = this.#facts(channel);
    let chains = all.get(replica.nodeId);
    if (!chains) all.set(replica.nodeId, chains = []);
    // What the log has lost since is overwritten; what it never had again stays on record until then.
    let from = Math.min(chains.length, synced);
    // What cannot be read there any more was synced all the same, unless what is before it was overwritten.
    let known = from;
    while (known > 0 && !isKnown(replica.shadow.at(known))) known--;
    const isOverwritten = known > 0 && chains[known - 1] !== replica.shadow.at(known)!.chain;
    while (isOverwritten && from > 0 && chains[from - 1] !== replica.shadow.at(from)?.chain) from--;
    if (from < synced) chains.length = from;
    for (let seq = from + 1; seq <= synced; seq++) chains.push(replica.shadow.at(seq)?.chain ?? -1);
    replica.synced = synced;
  }

  #changedRole(channel: string, replica: Replica, { role, epoch }: Observed): void {
    const { nodeId } = replica;
    if (epoch < replica.epoch) {
      this.#fail(channel, `the epoch of ${nodeId} went back from ${replica.epoch} to ${epoch}`);
    }
    const promised = this.#facts(channel).promised.get(nodeId) ?? 0;
    if (epoch < promised && !this.#injured.has(nodeId)) {
      this.#fail(channel, `${nodeId} is in epoch ${epoch}, and has said that it is in ${promised}`);
    }
    const wasLeader = replica.role === "leader" && replica.epoch === epoch;
    replica.role = role;
    replica.epoch = epoch;
    if (role !== "leader" || wasLeader) return;
    const facts = this.#facts(channel);
    const other = facts.leaders.get(epoch);
    if (other !== undefined && other !== nodeId) this.#fail(channel, `${other} and ${nodeId} both lead epoch ${epoch}`);
    if (other === undefined) this.elections++;
    facts.leaders.set(epoch, nodeId);
    this.#voted(channel, { voter: nodeId, candidate: nodeId, epoch });
    this.#complete(channel, replica);
  }

  /** A leader has everything that leaders of lower epochs have committed. */
  #complete(channel: string, { shadow, nodeId, epoch }: Replica): void {
    const { committed } = this.#facts(channel);
    const missing = committed.findIndex(({ inEpoch, chain }, index) => {
      const own = shadow.entries[index];
      return inEpoch < epoch && own?.chain !== chain && (own === undefined || isKnown(own));
    });
    if (missing === -1) return;
    const found = shadow.entries[missing];
    this.#fail(
      channel,
      `leader completeness: ${nodeId} leads epoch ${epoch} without entry ${missing + 1}, committed in epoch ${
        committed[missing]!.inEpoch
      }; ${found ? `it has one of epoch ${found.epoch} there` : `its log ends at ${shadow.entries.length}`}`,
    );
  }

  #changedCommit(channel: string, replica: Replica, member: Observed): void {
    const { nodeId, shadow } = replica;
    const to = member.commit.value;
    if (to < replica.commit) this.#fail(channel, `the commit of ${nodeId} went back from ${replica.commit} to ${to}`);
    const facts = this.#facts(channel);
    const { committed } = facts;
    facts.commitMax = Math.max(facts.commitMax, to);
    for (let seq = replica.commit + 1; seq <= to; seq++) {
      const own = shadow.at(seq);
      if (own === undefined) {
        return this.#fail(channel, `${nodeId} has committed ${to}, its log ends at ${shadow.entries.length}`);
      }
      const known = committed[seq - 1];
      // What cannot be read here is told by the others.
      if (!isKnown(own) || committed.length < seq - 1) continue;
      if (known === undefined) committed.push({ ...own, inEpoch: member.epoch });
      else if (known.chain !== own.chain) {
        this.#fail(
          channel,
          `committed entry ${seq} is of epoch ${known.epoch} elsewhere, of epoch ${own.epoch} on ${nodeId}`,
        );
        break;
      }
      if (known === undefined && seq === to && member.role === "leader") {
        this.#onMajority(channel, replica, { seq, member });
      }
    }
    replica.commit = to;
  }

  /** What a leader commits ends with an entry of its own epoch: an older one that many have can still lose. */
  #ofOwnEpoch(channel: string, { nodeId, shadow }: Replica, { commit, epoch }: Observed): void {
    const last = shadow.at(commit.value);
    if (!isKnown(last) || last.epoch === epoch) return;
    this.#fail(
      channel,
      `${nodeId}, leader of epoch ${epoch}, committed up to entry ${commit.value} of epoch ${last.epoch}`,
    );
  }

  /** What a leader commits has been synced by a majority of the voters. */
  #onMajority(channel: string, { nodeId, shadow }: Replica, { seq, member }: { seq: number; member: Observed }): void {
    const { voters } = member.membership;
    const { synced } = this.#facts(channel);
    const chain = shadow.at(seq)!.chain;
    const holders = voters.filter((id) => synced.get(id)?.[seq - 1] === chain);
    if (holders.length >= majorityOf(voters.length)) return;
    this.#fail(
      channel,
      `${nodeId} committed entry ${seq} in epoch ${member.epoch}, synced only by [${holders.join()}] of the voters [${voters.join()}]`,
    );
  }
}

/** Counted here, and not by what is looked at. */
function majorityOf(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1;
}

function keyOf(channel: string, nodeId: string): string {
  return `${channel} ${nodeId}`;
}
