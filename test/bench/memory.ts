// Whether the memory of a server stays where it is while much more than memory passes through it to a fast replica, which follows
// live, and to a slow one, which is fed from the disk: 40 MiB/s, and every 256 MiB it stops for two seconds. Entries of 1 to
// 64 KiB are appended over HTTP all the while. Neither replica keeps anything.

import { type Benchmark, type BenchOptions, GIB, MIB, type Row, short } from "./benchmark.ts";
import { checkEqual } from "./catchup.ts";
import { type RuntimeName, RUNTIMES } from "./child.ts";
import { type LogState, makeBody, Server } from "./server.ts";
import { inWorkspace, type Workspace } from "./workspace.ts";

const PAYLOAD_SIZES = [1 << 10, 64 << 10, 4 << 10, 1 << 10, 16 << 10, 2 << 10];
const SLOW_BYTES_PER_SECOND = 40 * MIB;
const SLOW_PAUSE_MS = 2_000;
const SAMPLE_MS = 100;
/** Growth is counted from here, or from the half where there is less. */
const SETTLED_BYTES_MAX = 100 * MIB;
const GROWTH_MIB_MAX = 64;
const PASSING_BYTES = 4 * GIB;

/** Resident MiB of the server, with the log's size in MiB at that time. */
interface Sample {
  readonly logMib: number;
  readonly residentMib: number;
}

export const memory: Benchmark = {
  name: "memory",
  title: "Resident memory of a server while 4 GiB pass through it to one slow and one fast replica",
  run: async (options) => {
    const rows: Row[] = [];
    for (const runtime of RUNTIMES) {
      rows.push(await inWorkspace((workspace) => onRuntime(workspace, runtime, options)));
    }
    return rows;
  },
};

async function onRuntime(workspace: Workspace, runtime: RuntimeName, { bytes, say }: BenchOptions): Promise<Row> {
  const totalBytes = bytes ?? PASSING_BYTES;
  const server = await Server.start(workspace, runtime);
  const body = makeBody(PAYLOAD_SIZES);
  const requests = Math.ceil(totalBytes / body.byteLength);
  const entriesPerBody = await entriesOf(server, body);
  const until = entriesPerBody * requests + 1;
  const slow = ["--bytes-per-second", SLOW_BYTES_PER_SECOND, "--pause-ms", SLOW_PAUSE_MS];
  const replicas = [[], slow].map((extra) => startReplica(workspace, { server, until, extra }));
  const sampler = new Sampler(server);
  const full = await server.fill((requests - 1) * body.byteLength, body);
  say(`  ${runtime}: all is appended, resident are ${short((server.child.residentBytes ?? NaN) / MIB)} MiB`);
  if (full.commit !== until) throw new Error(`the channel ends at ${full.commit}, expected is ${until}`);
  await Promise.all(replicas.map(async (replica) => checkEqual(await replica.next("done"), full)));
  const samples = sampler.stop();
  say(`  ${runtime}: resident MiB over time: ${seriesOf(samples)}`);
  return rowOf(runtime, samples, full);
}

/** Appends one body; answers how many entries it has. */
async function entriesOf(server: Server, body: Uint8Array<ArrayBuffer>): Promise<number> {
  const { commit } = await server.state();
  await server.append(body);
  return (await server.state()).commit - commit;
}

function startReplica(
  workspace: Workspace,
  { server, until, extra }: { server: Server; until: number; extra: readonly (string | number)[] },
) {
  const args = ["--url", server.url, "--channel", server.channel, "--until", until, ...extra];
  return workspace.start("bun", "test/bench/programs/replica.ts", args);
}

/** Looks at the server's memory at a steady pace. */
class Sampler {
  readonly #samples: Sample[] = [];
  readonly #server: Server;
  readonly #timer: ReturnType<typeof setInterval>;
  #isLooking = false;

  constructor(server: Server) {
    this.#server = server;
    this.#timer = setInterval(() => void this.#look(), SAMPLE_MS);
  }

  stop(): readonly Sample[] {
    clearInterval(this.#timer);
    return this.#samples;
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const { bytes } = await this.#server.state();
      const resident = this.#server.child.residentBytes;
      if (resident !== undefined) this.#samples.push({ logMib: bytes / MIB, residentMib: resident / MIB });
    } finally {
      this.#isLooking = false;
    }
  }
}

/** About twenty of the samples. */
function seriesOf(samples: readonly Sample[]): string {
  const step = Math.max(1, Math.floor(samples.length / 20));
  return samples.filter((_, index) => index % step === 0).map(({ residentMib }) => residentMib.toFixed(0)).join(" ");
}

function rowOf(runtime: RuntimeName, samples: readonly Sample[], { bytes }: LogState): Row {
  const settledMib = Math.min(SETTLED_BYTES_MAX, bytes / 2) / MIB;
  const settled = samples.filter(({ logMib }) => logMib >= settledMib);
  const first = settled[0]?.residentMib ?? NaN;
  const highest = settled.reduce((most, { residentMib }) => Math.max(most, residentMib), 0);
  return {
    what: `growth of the server, ${short(bytes / GIB)} GiB (${runtime})`,
    unit: "MiB",
    value: highest - first,
    target: { atMost: GROWTH_MIB_MAX },
    note: `${short(first)} MiB after the first ${short(settledMib)} MiB, at most ${short(highest)} MiB later, ${
      short(settled.at(-1)?.residentMib ?? NaN)
    } MiB at the end`,
  };
}
