// A lock file that a dead holder cannot keep. node:fs has no flock, so the file names its holder (process id, start time,
// boot, nonce) and whoever finds it judges whether that process still lives.
//
// Rule: a live identity in the lock file, or in a file that a takeover moved aside, holds the lock. Taking over moves the
// stale file aside by rename, looks again at what it moved, and puts it back if that is not the stale one; whoever gets the
// lock looks at everything that was moved aside before it believes. So of any number of processes that race, one at most holds it.

import * as fs from "node:fs";
import { randomUUID } from "node:crypto";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import type { DiskLock } from "./disk.ts";
import { storeErrorOf } from "./disk_error.node.ts";
import { StoreError } from "./store_error.ts";

const ATTEMPTS_MAX = 10;

interface Identity {
  readonly pid: number;
  /** Start time of the process in clock ticks since boot; empty where /proc is not there to tell. */
  readonly start: string;
  readonly boot: string;
  readonly nonce: string;
}

function readText(path: string): string | undefined {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function bootId(): string {
  return readText("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
}

/** Fields of /proc/PID/stat from the third on. The second one, the name, may itself hold spaces and brackets. */
function statOf(pid: number): string[] {
  const stat = readText(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
}

/** Start time of a process: field 22. */
function startOf(pid: number): string {
  return statOf(pid)[19] ?? "";
}

/** Whether the process has ended and only waits for its parent to notice: fields 3 (state) and 20 (threads). */
function isZombie(pid: number): boolean {
  const stat = statOf(pid);
  return (stat[0] === "Z" || stat[0] === "X") && Number(stat[17]) <= 1;
}

function identityIn(path: string): Identity | undefined {
  try {
    const found = JSON.parse(readText(path) ?? "") as Partial<Identity>;
    if (!Number.isSafeInteger(found.pid) || typeof found.nonce !== "string") return undefined;
    return { pid: found.pid!, start: `${found.start ?? ""}`, boot: `${found.boot ?? ""}`, nonce: found.nonce };
  } catch {
    return undefined;
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Whether the process that wrote `identity` still runs. A process id that came back has another start time. */
function isAlive(identity: Identity): boolean {
  const boot = bootId();
  if (identity.boot !== "" && boot !== "" && identity.boot !== boot) return false;
  if (identity.pid <= 0 || !exists(identity.pid) || isZombie(identity.pid)) return false;
  const start = startOf(identity.pid);
  return start === "" || identity.start === "" || start === identity.start;
}

function asidePrefix(path: string): string {
  return `${basename(path)}.aside-`;
}

function asidePaths(path: string): string[] {
  const directory = dirname(path);
  return fs.readdirSync(directory).filter((name) => name.startsWith(asidePrefix(path))).map((name) =>
    join(directory, name)
  );
}

function remove(path: string): void {
  fs.rmSync(path, { force: true });
}

/** Makes `to` a second name of `from`; false where `to` exists. */
function link(from: string, to: string): boolean {
  try {
    fs.linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function locked(path: string, holder: Identity): StoreError {
  const who = holder.pid === process.pid ? `this process (${holder.pid})` : `process ${holder.pid}`;
  return new StoreError("locked", `${path} is held by ${who}; one process at a time may use a data directory`);
}

/** Moves a lock file that was judged stale out of the way, unless it has been replaced by then. */
function moveAside(path: string, stale: Identity | undefined, nonce: string): void {
  const aside = join(dirname(path), `${asidePrefix(path)}${nonce}`);
  try {
    fs.renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const moved = identityIn(aside);
  if (moved !== undefined && moved.nonce !== stale?.nonce && isAlive(moved)) {
    // A live lock was moved. It still counts while it lies aside; put it back under its own name where possible.
    if (!link(aside, path)) return;
  }
  remove(aside);
}

/** The live holder among the files that takeovers moved aside, other than `mine`. Clears away the dead ones. */
function liveAside(path: string, mine: Identity): Identity | undefined {
  for (const aside of asidePaths(path)) {
    const found = identityIn(aside);
    if (found && found.nonce !== mine.nonce && isAlive(found)) return found;
  }
  return undefined;
}

function acquire(path: string, mine: Identity, temporary: string): void {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (link(temporary, path)) {
      const other = liveAside(path, mine);
      if (!other) return;
      release(path, mine);
      throw locked(path, other);
    }
    const holder = identityIn(path);
    if (holder && isAlive(holder)) throw locked(path, holder);
    moveAside(path, holder, mine.nonce);
  }
  throw new StoreError("locked", `${path} changed hands ${ATTEMPTS_MAX} times while it was being taken; try again`);
}

function release(path: string, mine: Identity): void {
  for (const candidate of [path, ...asidePaths(path)]) {
    if (identityIn(candidate)?.nonce === mine.nonce) remove(candidate);
  }
}

/**
 * Takes the lock file `path`, whose directory must exist.
 * @throws StoreError `locked` naming the holder; `failed` where the directory cannot be used.
 */
// deno-lint-ignore require-await
export async function lockFile(path: string): Promise<DiskLock> {
  const mine: Identity = { pid: process.pid, start: startOf(process.pid), boot: bootId(), nonce: randomUUID() };
  const temporary = `${path}.new-${mine.nonce}`;
  try {
    fs.writeFileSync(temporary, JSON.stringify(mine) + "\n", { mode: 0o640 });
    acquire(path, mine, temporary);
  } catch (error) {
    throw storeErrorOf(error, "lock", path);
  } finally {
    remove(temporary);
  }
  return { release: () => Promise.resolve().then(() => release(path, mine)) };
}
