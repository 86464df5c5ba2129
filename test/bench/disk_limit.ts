// What the disk itself takes, as `dd bs=1M conv=fdatasync` measures it: the bound of everything that ends in a durable store.

import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { MIB } from "./benchmark.ts";
import type { Workspace } from "./workspace.ts";

/** Memory to have at hand, by the bytes that are about to be written. */
const MEMORY_SHARE = 2;

/** MiB/s of writing `bytes` in sequence in blocks of 1 MiB, with one fdatasync at the end. */
export function diskLimit(workspace: Workspace, bytes: number): number {
  const path = workspace.path();
  const file = openSync(path, "w");
  const started = performance.now();
  fill(file, bytes);
  fdatasyncSync(file);
  const seconds = (performance.now() - started) / 1000;
  closeSync(file);
  workspace.remove(path);
  return bytes / MIB / seconds;
}

/**
 * Sees to it that the machine has memory for `bytes` that are about to be written, and for the process that writes them. A virtual
 * machine gives free memory back to its host and gets it again page by page: 1 GiB into a file then took 3 s instead of 1, or did
 * not, as what ran before it happened to leave it.
 */
export function haveMemory(workspace: Workspace, bytes: number): void {
  const path = workspace.path();
  const file = openSync(path, "w");
  fill(file, MEMORY_SHARE * bytes);
  closeSync(file);
  workspace.remove(path);
}

function fill(file: number, bytes: number): void {
  const block = new Uint8Array(MIB).fill(7);
  for (let written = 0; written < bytes; written += MIB) writeSync(file, block);
}
