// The sessions of replicas that this node feeds, whatever their transport.

import { ulid } from "ulid";
import type { Environment } from "../core/environment.ts";
import type { Session } from "../net/session.ts";
import type { LimitsConfig } from "../schema/config.ts";
import type { AppendHandler } from "../stream/append_intake.ts";
import { Downstream, type DownstreamStatus } from "../stream/downstream.ts";
import type { FedChannel, FeederStatus } from "../stream/feeder.ts";

export interface SessionsOptions {
  readonly nodeId: string;
  readonly environment: Environment;
  readonly limits: LimitsConfig;
  readonly channel: (name: string) => FedChannel | undefined;
  /** Whether a channel that is not there now may be there a moment later. */
  readonly isPassing: (name: string) => boolean;
  /** Takes appends. Default: none are taken. */
  readonly append?: AppendHandler;
}

/** One replica of one channel, for status. */
export type ReplicaStatus =
  & FeederStatus
  & Omit<DownstreamStatus, "feeders" | "sessionId" | "kind">
  & { readonly kind: DownstreamStatus["kind"] | "node" };

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #downstreams = new Set<Downstream>();
  #unknownCount = 0;
  #draining = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** Sessions of replicas, and those of which nothing is known yet. */
  get count(): number {
    return this.#downstreams.size + this.#unknownCount;
  }

  /** Counts a session whose first message has not come yet; to be called again when it has. */
  awaitFirstMessage(): () => void {
    this.#unknownCount++;
    return () => this.#unknownCount--;
  }

  /** Serves `session` until it ends; turns it away by name when the node drains. */
  accept(session: Session): void {
    const sessionId = this.nextId();
    const downstream = new Downstream(session, { host: this.#options, sessionId });
    this.#downstreams.add(downstream);
    void downstream.closed.then(() => this.#downstreams.delete(downstream));
    if (this.#draining) void downstream.close("draining", "the node is shutting down");
  }

  /** An id for a session, of a replica or of another node. */
  nextId(): string {
    const { clock, random } = this.#options.environment;
    return ulid(clock.now(), () => random.next());
  }

  /** Every replica that is fed now, of `channel` if given. */
  replicas(channel?: string): ReplicaStatus[] {
    const replicas: ReplicaStatus[] = [];
    for (const downstream of this.#downstreams) {
      const status = downstream.status();
      for (const feeder of status?.feeders ?? []) {
        if (channel !== undefined && feeder.channel !== channel) continue;
        const { id, kind, agent, transport } = status!;
        replicas.push({ id, kind, agent, transport, ...feeder });
      }
    }
    return replicas;
  }

  /** How many replicas of each channel are fed now. */
  replicaCounts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const downstream of this.#downstreams) {
      for (const channel of downstream.channels()) counts.set(channel, (counts.get(channel) ?? 0) + 1);
    }
    return counts;
  }

  /** Says goodbye to all. */
  async drain(): Promise<void> {
    this.#draining = true;
    const goodbyes = [...this.#downstreams].map((each) => each.close("draining", "the node is shutting down"));
    await Promise.all(goodbyes);
  }
}
