// Producers that append to a channel of a cluster all at once, and what must hold of its log afterwards.

import { expect } from "bun:test";
import { eventually } from "../process/waiting.ts";
import type { Api } from "../routes/api.ts";
import type { ClusterProcesses } from "./cluster_processes.ts";
import { ClusterProducer, FETCH_REPEATS } from "./cluster_producer.ts";
import { logFaults } from "./log_faults.ts";

const PRODUCERS = 8;
/** Those of them whose appends carry triples: all, where nothing is there at most once without. */
const PRODUCERS_WITH_TRIPLES = FETCH_REPEATS ? PRODUCERS : 4;
const APPENDS_MS_MAX = 60_000;

export class ClusterLoad {
  readonly producers: readonly ClusterProducer[];
  readonly #cluster: ClusterProcesses;
  readonly #channel: string;

  constructor(cluster: ClusterProcesses, channel: string) {
    this.#cluster = cluster;
    this.#channel = channel;
    const urls = cluster.ids.map((id) => cluster.url(id));
    this.producers = Array.from({ length: PRODUCERS }, (_, index) => {
      const first = index % urls.length;
      const order = [...urls.slice(first), ...urls.slice(0, first)];
      return new ClusterProducer({
        name: `p${index}`,
        channel,
        urls: order,
        hasTriples: index < PRODUCERS_WITH_TRIPLES,
      });
    });
  }

  get acknowledgedAppends(): number {
    return sum(this.producers.map(({ acknowledgedAppends }) => acknowledgedAppends));
  }

  /** Tries whose outcome nobody told. */
  get cut(): number {
    return sum(this.producers.map(({ cut }) => cut));
  }

  /** Waits until `count` more appends are acknowledged than now. */
  async more(count: number): Promise<void> {
    const goal = this.acknowledgedAppends + count;
    const reached = () => this.acknowledgedAppends >= goal ? true : undefined;
    await eventually(`${count} more appends`, reached, APPENDS_MS_MAX).catch(async (error) => {
      throw new Error(`${error.message}\n${await this.#cluster.describe(this.#channel)}`);
    });
  }

  /** Ends the load; all that was asked for again and again is acknowledged then. */
  async stop(): Promise<void> {
    await Promise.all(this.producers.map((producer) => producer.stop()));
  }

  /**
   * Every node has the same log; in it are all acknowledged entries, where the producers were told that they are, each once,
   * those of every producer in order, and none that nobody sent or that a node said it refused. Payloads that begin with
   * `foreign` are somebody else's.
   */
  async expectKept({ foreign }: { foreign?: string } = {}): Promise<void> {
    await this.#cluster.agree(this.#channel);
    const logs = await Promise.all(this.#cluster.ids.map((id) => allEntries(this.#cluster.api(id), this.#channel)));
    for (const log of logs.slice(1)) expect(log).toEqual(logs[0]!);
    const isForeign = (payload: string | undefined) => foreign !== undefined && payload?.startsWith(foreign);
    const own = logs[0]!.map((payload) => isForeign(payload) ? undefined : payload);
    expect(logFaults(own, this.producers)).toEqual([]);
  }
}

/** The log from its first entry to the commit position; undefined for Millrace's own entries. */
export async function allEntries(api: Api, channel: string): Promise<(string | undefined)[]> {
  const entries: (string | undefined)[] = [];
  for (let from = 1;;) {
    const { status, body } = await api.read(channel, `?from=${from}&types=all&limit=100000&maxBytes=60000000`);
    expect([from, status]).toEqual([from, 200]);
    for (const { seq, type, payload } of body.entries) {
      expect(seq).toBe(entries.length + 1);
      entries.push(type === "data" ? payload : undefined);
    }
    from = body.nextSeq;
    if (from > body.commit) return entries;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, each) => all + each, 0);
}
