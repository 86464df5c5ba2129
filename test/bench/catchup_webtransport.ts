import type { Benchmark } from "./benchmark.ts";
import { runCatchUp } from "./catchup.ts";

export const catchupWebtransport: Benchmark = {
  name: "catchup-webtransport",
  title: "Catch-up of 1 GiB of 1 KiB entries over WebTransport on Deno, two processes, into a durable store",
  run: (options) =>
    runCatchUp({
      runtime: "deno",
      transport: "webtransport",
      pump: "test/bench/programs/pump_webtransport.deno.ts",
      ratioAtLeast: 0.5,
    }, options),
};
