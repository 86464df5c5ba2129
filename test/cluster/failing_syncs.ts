// A disk that fails under a real process: strace answers its fsyncs with an error, in place of the system.

import { existsSync } from "node:fs";
import { Program } from "../process/program.ts";

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
  const strace = new Program(args, { command: [STRACE!] });
  await strace.until("strace is attached", () => strace.errors.includes("attached") || undefined, ATTACHED_MS_MAX);
}
