import type { Benchmark } from "./benchmark.ts";
export const append: Benchmark = { name: "append", title: "", run: async () => [] };
