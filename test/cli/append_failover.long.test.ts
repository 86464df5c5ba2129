// `millrace append` while the leader it appends to is killed: every line is there once, in order.

import { afterEach, expect, test } from "bun:test";
import { ClusterProcesses } from "../cluster/cluster_processes.ts";
import { Program, run, thisRuntime } from "../process/program.ts";
import { eventually } from "../process/waiting.ts";
import { Workbench } from "../process/workbench.ts";

const bench = new Workbench();
afterEach(() => bench.clear());

const ROUNDS = 5;
const LINES_PER_ROUND = 400;
/** Lines of a round are written in so many pieces, so that some are always under way when the leader goes. */
const PIECES = 20;
const WAIT_MS_MAX = 30_000;

test("append goes on at each new leader, and appends each line once", async () => {
  const runtimes = [thisRuntime(), thisRuntime(), thisRuntime()];
  const cluster = await ClusterProcesses.start({ runtimes, bench });
  await cluster.create("log");
  const urls = cluster.ids.map((id) => cluster.url(id)).join(",");
  const program = new Program(["append", "log", "-", "--json", "--url", urls]);
  bench.defer(() => program.child.kill("SIGKILL"));

  const committed = async () =>
    Math.max(
      ...await Promise.all(cluster.awake.map(async (id) => {
        return (await cluster.status(id, "log"))?.commit ?? 0;
      })),
    );
  const lines: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const goal = await committed() + LINES_PER_ROUND / PIECES;
    for (let piece = 0; piece < PIECES; piece++) {
      const more = Array.from({ length: LINES_PER_ROUND / PIECES }, (_, index) => `${lines.length + index}`);
      lines.push(...more);
      program.write(`${more.join("\n")}\n`);
      if (piece === PIECES / 2) {
        await eventually("some of it is appended", async () => await committed() >= goal || undefined, WAIT_MS_MAX);
        const leader = await cluster.leader("log");
        await cluster.kill(leader);
        void eventually("another leader", () => cluster.leader("log"), WAIT_MS_MAX)
          .then(() => cluster.startNode(leader), () => {});
      }
    }
    await eventually("all nodes run", () => cluster.awake.length === 3 || undefined, WAIT_MS_MAX);
  }
  program.child.stdin!.end();
  const code = await program.ended;
  expect([code, program.errors]).toEqual([0, ""]);
  expect(JSON.parse(program.output)["appended"]).toBe(lines.length);
  const { out, ...ended } = await run(["tail", "log", "--url", urls]);
  expect(ended).toEqual({ code: 0, err: "" });
  expect(out.trimEnd().split("\n")).toEqual(lines);
}, 180_000);
