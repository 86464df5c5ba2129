import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { lockFile } from "../../src/log/directory_lock.node.ts";
import { NodeDisk } from "../../src/log/disk.node.ts";
import { openSegmentStore } from "../../src/log/segment_store.ts";
import { until } from "../net/wait.ts";
import { codeOf, testEnvironment } from "./run_builder.ts";

/** Above the largest process id that Linux gives. */
const DEAD_PID = 2 ** 22 + 12345;

describe("the lock of a data directory", () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "millrace-lock-"));
    path = join(directory, "millrace.lock");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** A lock file as another process would have left it. */
  function leave(identity: Record<string, unknown>): void {
    const own = JSON.parse(ownIdentity) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...own, nonce: "another", ...identity }));
  }

  let ownIdentity: string;
  beforeEach(async () => {
    const lock = await lockFile(path);
    ownIdentity = readFileSync(path, "utf8");
    await lock.release();
  });

  test("is refused to a second holder in the same process, naming it, and free after release", async () => {
    const lock = await lockFile(path);
    expect(await codeOf(() => lockFile(path))).toBe("locked");
    await expect(lockFile(path)).rejects.toThrow(`(${process.pid})`);
    await lock.release();
    await (await lockFile(path)).release();
    expect(readdirSync(directory)).toEqual([]);
  });

  test("keeps a second store out", async () => {
    const options = { disk: new NodeDisk(), root: directory, environment: testEnvironment() };
    const store = await openSegmentStore(options);
    expect(await codeOf(() => openSegmentStore(options))).toBe("locked");
    await store.close();
    await (await openSegmentStore(options)).close();
  });

  test("is refused while another process that lives holds it, naming that process", async () => {
    const stat = readFileSync(`/proc/${process.ppid}/stat`, "utf8");
    leave({ pid: process.ppid, start: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] });
    expect(await codeOf(() => lockFile(path))).toBe("locked");
    await expect(lockFile(path)).rejects.toThrow(`process ${process.ppid}`);
  });

  test("is taken over from a process that is dead, whose id was given again, or that ran before the last boot", async () => {
    const lost = [{ pid: DEAD_PID }, { pid: process.ppid, start: "1" }, { boot: "another boot" }];
    for (const identity of lost) {
      leave(identity);
      const lock = await lockFile(path);
      expect(await codeOf(() => lockFile(path))).toBe("locked");
      await lock.release();
      expect(readdirSync(directory)).toEqual([]);
    }
  });

  test("is taken over from a process that has ended, though nobody has noticed yet", async () => {
    // What `exec` puts in place of the shell knows nothing of the child, which ends after that and stays a zombie.
    const parent = spawn("sh", ["-c", "sleep 0.3 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      const [line] = await once(parent.stdout, "data") as [Uint8Array];
      const pid = Number(new TextDecoder().decode(line));
      const stat = () => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
      await until(() => stat()[0] === "Z", "the child has ended");
      leave({ pid, start: stat()[19] });
      await (await lockFile(path)).release();
    } finally {
      parent.kill("SIGKILL");
    }
  });

  test("is taken over where the file says nothing", async () => {
    writeFileSync(path, "");
    await (await lockFile(path)).release();
  });

  test("of a live process counts even where a takeover has moved it aside", async () => {
    writeFileSync(`${path}.aside-someone`, JSON.stringify({ ...JSON.parse(ownIdentity), nonce: "another" }));
    expect(await codeOf(() => lockFile(path))).toBe("locked");
    expect(readdirSync(directory)).toEqual(["millrace.lock.aside-someone"]);
  });

  test("that was taken over is not released by its former holder", async () => {
    const former = await lockFile(path);
    writeFileSync(path, JSON.stringify({ ...JSON.parse(ownIdentity), nonce: "another" }));
    await former.release();
    expect(await codeOf(() => lockFile(path))).toBe("locked");
  });
});
