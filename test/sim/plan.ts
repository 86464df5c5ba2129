// What one seed is about: how many nodes and channels, what network and disks, which faults and how often. Each run draws
// its own mixture, so that rare faults are not drowned by common ones.

import type { NetworkManners } from "./network.ts";
import type { NodeShape, SimChannel } from "./surroundings.ts";
import type { SimRandom } from "./random.ts";

export const FAULTS = [
  "power cut",
  "kill",
  "stop",
  "crash inside",
  "crash on disk",
  "crash after a promise",
  "power cut of all",
  "pause",
  "clock jump",
  "one-way cut",
  "two-way cut",
  "isolation",
  "split",
  "clog",
  "session reset",
  "slow disk",
  "full disk",
  "read errors",
  "write errors",
  "fsync errors",
  "flipped bits",
  "lost write",
  "misdirected write",
  "wipe",
  "unlucky loss",
  "forgotten vote",
  "election storm",
  "transfer",
  "membership change",
] as const;
export type Fault = (typeof FAULTS)[number];

export interface Plan {
  readonly nodeIds: readonly string[];
  readonly voters: readonly string[];
  readonly channels: readonly SimChannel[];
  readonly shape: NodeShape;
  readonly network: NetworkManners;
  readonly faults: readonly Fault[];
  /** Pauses between two faults, from and to. */
  readonly faultMs: readonly [number, number];
  readonly calmMs: number;
  readonly faultyMs: number;
  /** Nodes that may be down at a time by faults. */
  readonly downMax: number;
  /** Share of unsynced sectors that a power cut leaves, at most. */
  readonly keepShare: number;
  /** Nodes whose disks are damaged; always a minority of the voters. */
  readonly victims: readonly string[];
  readonly producersPerChannel: number;
  /** Browsers that keep a copy of each channel. */
  readonly browserNames: readonly string[];
  readonly thinkMs: readonly [number, number];
  readonly payloadBytesMax: number;
  /** Whether a majority is healed first, and the others later. */
  readonly healsMajorityFirst: boolean;
}

const NODE_IDS = ["a", "b", "c", "d", "e", "f", "g"];
const CHANNEL_IDS = ["_catalogue", "01SIMULATEDCHANNEL0000000A", "01SIMULATEDCHANNEL0000000B"];

export function planOf(random: SimRandom): Plan {
  const draw = random.next();
  const voterCount = draw < 0.06 ? 1 : draw < 0.7 ? 3 : 5;
  const faults = faultsOf(random, voterCount);
  const spareCount = faults.includes("membership change") ? random.whole(1, 2) : 0;
  const nodeIds = NODE_IDS.slice(0, voterCount + spareCount);
  const voters = NODE_IDS.slice(0, voterCount);
  const channelCount = random.chance(0.5) ? 1 : random.whole(2, 3);
  const channels = CHANNEL_IDS.slice(0, channelCount).map((id, index) => ({ id, voters, isFirst: index === 0 }));
  const minority = Math.floor((voterCount - 1) / 2);
  const payloadBytesMax = random.pick([20, 200, 900]);
  return {
    nodeIds,
    voters,
    channels,
    shape: {
      segmentBytesMax: random.pick([2_000, 8_000, 64_000]),
      tailCacheBytesMax: random.pick([0, 2_000, 64_000]),
      writeAheadBytesMin: random.pick([200, 4_000, 1 << 20]),
      directSyncsMax: random.pick([0, 0, 1, 2]),
      journalBytesMax: random.pick([1, 10_000, 1 << 20]),
      creditBytes: random.pick([2_000, 16_000, 256_000]),
    },
    network: networkOf(random),
    faults,
    faultMs: random.pick([[20, 150], [100, 600], [300, 1_500]]),
    calmMs: random.between(200, 1_000),
    faultyMs: random.skewed(1_500, 8_000),
    downMax: random.chance(0.7) ? minority : voterCount,
    keepShare: random.pick([0, 0.1, 0.2]),
    victims: random.some(voters, minority),
    producersPerChannel: random.whole(1, 2),
    thinkMs: random.pick([[0, 10], [5, 80], [20, 200]]),
    payloadBytesMax,
    healsMajorityFirst: random.chance(0.5),
    browserNames: random.chance(0.3) ? ["b0", "b1"] : ["b0"],
  };
}

function networkOf(random: SimRandom): NetworkManners {
  const isOrdered = random.chance(0.6);
  const delayMs = random.pick([[0.2, 2], [0.5, 20], [1, 100]] as const);
  const isBad = !isOrdered && random.chance(0.8);
  return {
    isOrdered,
    delayMs,
    loss: isBad ? random.pick([0, 0.01, 0.1, 0.3]) : 0,
    duplication: isBad ? random.pick([0, 0.05, 0.3]) : 0,
  };
}

function faultsOf(random: SimRandom, voterCount: number): Fault[] {
  const possible = FAULTS.filter((fault) => voterCount > 1 || !OF_MANY.has(fault));
  return random.some(possible, random.pick([1, 3, 6, possible.length]));
}

/** What a single node has nobody for. */
const OF_MANY: ReadonlySet<Fault> = new Set<Fault>([
  "one-way cut",
  "two-way cut",
  "isolation",
  "split",
  "clog",
  "session reset",
  "flipped bits",
  "lost write",
  "misdirected write",
  "wipe",
  "unlucky loss",
  "forgotten vote",
  "election storm",
  "transfer",
  "membership change",
]);
