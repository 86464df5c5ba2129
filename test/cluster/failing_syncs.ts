// A disk that fails under a real process: strace answers its fsyncs with an error, in place of the system.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { eventually } from "../process/waiting.ts";

const STRACE = ["/usr/bin/strace", "/usr/local/bin/strace"].find((path) => existsSync(path));
const ATTACHED_MS_MAX = 10_000;
const CALLS = "fsync,fdatasync";

/** Why no process can be made to fail here; undefined where one can. */
export const FAILING_SYNCS_UNSUPPORTED: string | undefined = STRACE === undefined
  ? "strace is not there: on Debian, apt-get install strace"
  : undefined;

/** From now on until it ends no fsync of the process succeeds: none is done, each returns EIO. */
export async function failSyncs(pid: number): Promise<void> {
  const args = ["-f", "-e", `trace=${CALLS}`, "-e", `inject=${CALLS}:error=EIO`, "-o", "/dev/null", "-p", String(pid)];
  const strace = spawn(STRACE!, args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  let ended: string | undefined;
  strace.once("error", (error) => ended = error.message);
  strace.once("exit", (code, signal) => ended = `it ended with ${code ?? signal}`);
  strace.stderr.on("data", (bytes: Uint8Array) => said += new TextDecoder().decode(bytes));
  try {
    await eventually("strace is attached", () => {
      if (ended !== undefined) throw new Error(`strace -p ${pid}: ${ended}: ${said}`);
      return said.includes("attached") ? true : undefined;
    }, ATTACHED_MS_MAX);
  } catch (error) {
    strace.kill("SIGKILL");
    throw error;
  }
}
