// What the disk itself takes, as `dd bs=1M conv=fdatasync` measures it: the bound of everything that ends in a durable store.

import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { MIB } from "./benchmark.ts";
import type { Workspace } from "./workspace.ts";

/** MiB/s of writing `bytes` in sequence in blocks of 1 MiB, with one fdatasync at the end. */
export function diskLimit(workspace: Workspace, bytes: number): number {
  const path = workspace.path();
  const block = new Uint8Array(MIB).fill(7);
  const file = openSync(path, "w");
  const started = performance.now();
  for (let written = 0; written < bytes; written += MIB) writeSync(file, block);
  fdatasyncSync(file);
  const seconds = (performance.now() - started) / 1000;
  closeSync(file);
  workspace.remove(path);
  return bytes / MIB / seconds;
}
