// How fast a replica that has nothing gets a full channel into its durable store, beside a bare pump of the same bytes over the
// same transport on the same runtime. Server and replica are two processes, as are the two ends of the pump. Before each measurement
// that writes to the disk the machine is made to have memory for it.

import { type BenchOptions, GIB, median, MIB, type Row, short } from "./benchmark.ts";
import type { Child, Message, RuntimeName } from "./child.ts";
import { diskLimit, haveMemory } from "./disk_limit.ts";
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

/** One transfer: its speed, and what it cost both ends. */
interface Transfer {
  readonly mibPerSecond: number;
  readonly senderSeconds: number;
  readonly receiverSeconds: number;
}

/**
 * The replica into memory shows what the disk costs, and so does the pump into a file; the pump of one block, over and over, what bytes
 * cost that are not in the processor's cache. `disk` is in MiB/s.
 */
interface Round {
  readonly durable: Transfer;
  readonly memory: Transfer;
  readonly pump: Transfer;
  readonly block: Transfer;
  readonly filed: Transfer;
  readonly disk: number;
}

export function runCatchUp(catchUp: CatchUp, options: BenchOptions): Promise<readonly Row[]> {
  const { runtime, transport } = catchUp;
  const { bytes = GIB, rounds, say } = options;
  return inWorkspace(async (workspace) => {
    const server = await Server.start(workspace, runtime);
    const full = await server.fill(bytes, makeBody([PAYLOAD_BYTES]));
    say(`${transport} on ${runtime}: the channel has ${full.nextSeq - 1} entries, ${short(full.bytes / MIB)} MiB`);
    const pump = await startPump(workspace, catchUp, server.data);
    const block = await startPump(workspace, catchUp);
    const measured: Round[] = [];
    for (let round = 0; round < rounds; round++) {
      const pumped = await runPump(workspace, catchUp, { ...pump, bytes: full.bytes });
      const blocks = await runPump(workspace, catchUp, { ...block, bytes: full.bytes });
      const path = workspace.path();
      haveMemory(workspace, full.bytes);
      const filed = await runPump(workspace, catchUp, { ...pump, bytes: full.bytes, path });
      workspace.remove(path);
      haveMemory(workspace, full.bytes);
      const durable = await runReplica(workspace, catchUp, { server, full, store: "segments" });
      const memory = await runReplica(workspace, catchUp, { server, full, store: "memory" });
      haveMemory(workspace, full.bytes);
      const disk = diskLimit(workspace, full.bytes);
      measured.push({ durable, memory, pump: pumped, block: blocks, filed, disk });
      const told = [
        `pump ${tell(pumped)}`,
        `of one block ${tell(blocks)}`,
        `into a file ${tell(filed)}`,
        `durable ${tell(durable)}`,
        `memory ${tell(memory)}`,
        `disk ${short(disk)}`,
      ];
      say(`  round ${round + 1}: ${told.join(", ")} MiB/s`);
    }
    return rowsOf(catchUp, measured);
  });
}

/** Speed, and in brackets the processor seconds of sender + receiver. */
function tell({ mibPerSecond, senderSeconds, receiverSeconds }: Transfer): string {
  return `${short(mibPerSecond)} (cpu ${short(senderSeconds)} + ${short(receiverSeconds)} s)`;
}

function rowsOf({ runtime, transport, ratioAtLeast }: CatchUp, rounds: readonly Round[]): Row[] {
  type Name = "durable" | "memory" | "pump" | "block" | "filed";
  const of = (name: Name) => median(rounds.map((round) => round[name].mibPerSecond));
  const disk = median(rounds.map((round) => round.disk));
  const toPump = (name: Name, pump: "pump" | "block" | "filed" = "pump") =>
    median(rounds.map((round) => round[name].mibPerSecond / round[pump].mibPerSecond));
  const where = `${transport}, ${runtime}`;
  const control = { what: "bare pump", value: of("pump") };
  const unit = "MiB/s";
  const note = `the pump into a file, synced every 4 MiB, is ${short(toPump("filed"))} of the pump; the disk alone, ` +
    `written in one go and then synced, ${short(disk / control.value)}`;
  return [
    {
      what: `catch-up, durable (${where})`,
      unit,
      value: of("durable"),
      control,
      ratio: toPump("durable"),
      target: { atLeast: ratioAtLeast },
      note,
    },
    { what: `catch-up, in memory (${where})`, unit, value: of("memory"), control, ratio: toPump("memory") },
    {
      what: `catch-up, durable (${where})`,
      unit,
      value: of("durable"),
      control: { what: "bare pump of one block", value: of("block") },
      ratio: toPump("durable", "block"),
    },
    {
      what: `catch-up, durable (${where})`,
      unit,
      value: of("durable"),
      control: { what: "bare pump into a file", value: of("filed") },
      ratio: toPump("durable", "filed"),
    },
  ];
}

/** Runs `receiver` to its end beside `sender`; its own time from before connecting counts. */
async function transfer(bytes: number, sender: Child, receiver: Child): Promise<Transfer & { done: Message }> {
  const before = sender.processorSeconds ?? NaN;
  const done = await receiver.next("done");
  const senderSeconds = (sender.processorSeconds ?? NaN) - before;
  await receiver.stop();
  const mibPerSecond = bytes / MIB / (Number(done["ms"]) / 1000);
  return { mibPerSecond, senderSeconds, receiverSeconds: Number(done["cpuMs"]) / 1000, done };
}

interface Pump {
  readonly server: Child;
  /** As JSON. */
  readonly address: string;
}

/** A pump of what is in the data directory `data`, else of one block. */
async function startPump(workspace: Workspace, { runtime, pump }: CatchUp, data?: string): Promise<Pump> {
  const server = workspace.start(runtime, pump, ["server", ...(data === undefined ? [] : [data])]);
  const { event: _, ...address } = await server.next("listening");
  return { server, address: JSON.stringify(address) };
}

function runPump(
  workspace: Workspace,
  { runtime, pump }: CatchUp,
  { server, address, bytes, path }: Pump & { readonly bytes: number; readonly path?: string },
): Promise<Transfer> {
  const args = ["client", bytes, address, ...(path === undefined ? [] : [path])];
  return transfer(bytes, server, workspace.start(runtime, pump, args));
}

async function runReplica(
  workspace: Workspace,
  { runtime, transport }: CatchUp,
  { server, full, store }: { server: Server; full: LogState; store: "segments" | "memory" },
): Promise<Transfer> {
  const root = workspace.path();
  const args = ["--url", server.url, "--channel", server.channel, "--transport", transport, "--until", full.commit];
  const replica = workspace.start(runtime, "test/bench/programs/replica.ts", [
    ...args,
    "--store",
    store,
    "--root",
    root,
  ]);
  const transferred = await transfer(full.bytes, server.child, replica);
  workspace.remove(root);
  checkEqual(transferred.done, full);
  return transferred;
}

/** @throws where the copy that a replica told of is not the server's. */
export function checkEqual(done: Message, { nextSeq, chain }: LogState): void {
  if (done["nextSeq"] === nextSeq && done["chain"] === chain) return;
  const found = `${done["nextSeq"]} with chain ${done["chain"]}`;
  throw new Error(`the replica ends at entry ${found}, the server at ${nextSeq} with chain ${chain}`);
}
