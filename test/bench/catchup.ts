// How fast a replica that has nothing gets a full channel into its durable store, beside a bare pump of as many bytes over the
// same transport on the same runtime. Server and replica are two processes, as are the two ends of the pump.

import { type BenchOptions, GIB, median, MIB, type Row, short } from "./benchmark.ts";
import type { Child, RuntimeName } from "./child.ts";
import { diskLimit } from "./disk_limit.ts";
import { type LogState, makeBody, Server } from "./server.ts";
import { inWorkspace, type Workspace } from "./workspace.ts";

const PAYLOAD_BYTES = 1024;

export interface CatchUp {
  readonly runtime: RuntimeName;
  readonly transport: "websocket" | "webtransport";
  /** Program of the bare pump, from the project's root. */
  readonly pump: string;
  readonly ratioAtLeast: number;
}

/** Measures of one round, in MiB/s; the replica into memory shows what the disk costs. */
interface Round {
  readonly durable: number;
  readonly memory: number;
  readonly pump: number;
  readonly disk: number;
}

export function runCatchUp(catchUp: CatchUp, options: BenchOptions): Promise<readonly Row[]> {
  const { runtime, transport } = catchUp;
  const { bytes = GIB, rounds, say } = options;
  return inWorkspace(async (workspace) => {
    const server = await Server.start(workspace, runtime);
    const full = await server.fill(bytes, makeBody([PAYLOAD_BYTES]));
    say(`${transport} on ${runtime}: the channel has ${full.nextSeq - 1} entries, ${short(full.bytes / MIB)} MiB`);
    const pump = workspace.start(runtime, catchUp.pump, ["server"]);
    const { event: _, ...address } = await pump.next("listening");
    const measured: Round[] = [];
    for (let round = 0; round < rounds; round++) {
      const pumped = await runPump(workspace, catchUp, { bytes: full.bytes, address: JSON.stringify(address) });
      const durable = await runReplica(workspace, catchUp, { server, full, store: "segments" });
      const memory = await runReplica(workspace, catchUp, { server, full, store: "memory" });
      const disk = diskLimit(workspace, full.bytes);
      measured.push({ durable, memory, pump: pumped, disk });
      const cells = Object.entries(measured[round]!).map(([name, value]) => `${name} ${short(value)}`).join(", ");
      say(`  round ${round + 1}: ${cells} MiB/s`);
    }
    return rowsOf(catchUp, measured);
  });
}

function rowsOf({ runtime, transport, ratioAtLeast }: CatchUp, rounds: readonly Round[]): Row[] {
  const of = (name: keyof Round) => median(rounds.map((round) => round[name]));
  const where = `${transport}, ${runtime}`;
  const control = { what: "bare pump", value: of("pump") };
  const unit = "MiB/s";
  const target = { atLeast: ratioAtLeast };
  const disk = of("disk");
  const note = `the disk takes ${short(disk)} MiB/s, ${short(disk / control.value)} of the pump: no ratio can be above that`;
  return [
    { what: `catch-up, durable (${where})`, unit, value: of("durable"), control, target, note },
    { what: `catch-up, in memory (${where})`, unit, value: of("memory"), control },
    {
      what: `catch-up, durable (${where})`,
      unit,
      value: of("durable"),
      control: { what: "disk", value: disk },
    },
  ];
}

async function runPump(
  workspace: Workspace,
  { runtime, pump }: CatchUp,
  { bytes, address }: { bytes: number; address: string },
): Promise<number> {
  const client = workspace.start(runtime, pump, ["client", bytes, address]);
  const { ms } = await client.next("done");
  await client.stop();
  return bytes / MIB / (Number(ms) / 1000);
}

async function runReplica(
  workspace: Workspace,
  { runtime, transport }: CatchUp,
  { server, full, store }: { server: Server; full: LogState; store: "segments" | "memory" },
): Promise<number> {
  const root = workspace.path();
  const args = ["--url", server.url, "--channel", server.channel, "--transport", transport, "--until", full.commit];
  const replica = workspace.start(runtime, "test/bench/programs/replica.ts", [...args, "--store", store, "--root", root]);
  const { ms } = await equalTo(replica, full);
  await replica.stop();
  workspace.remove(root);
  return full.bytes / MIB / (Number(ms) / 1000);
}

/** What the replica said at its end. @throws where its copy is not the server's. */
export async function equalTo(replica: Child, { nextSeq, chain }: LogState) {
  const done = await replica.next("done");
  if (done["nextSeq"] !== nextSeq || done["chain"] !== chain) {
    const found = `${done["nextSeq"]} with chain ${done["chain"]}`;
    throw new Error(`the replica ends at entry ${found}, the server at ${nextSeq} with chain ${chain}`);
  }
  return done;
}
