import type { Benchmark } from "./benchmark.ts";
import { runCatchUp } from "./catchup.ts";

export const catchupWebsocket: Benchmark = {
  name: "catchup-websocket",
  title: "Catch-up of 1 GiB of 1 KiB entries over WebSocket on Bun, two processes, into a durable store",
  run: (options) =>
    runCatchUp({
      runtime: "bun",
      transport: "websocket",
      pump: "test/bench/programs/pump_websocket.bun.ts",
      ratioAtLeast: 0.4,
    }, options),
};
