// Failing system calls in a real process: libfiu, preloaded, told at run time which of them fail.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

const LIBRARIES = ["/usr/lib/fiu", "/usr/local/lib/fiu"].find((path) => existsSync(`${path}/fiu_posix_preload.so`));
const CONTROL = ["/usr/bin/fiu-ctrl", "/usr/local/bin/fiu-ctrl"].find((path) => existsSync(path));
const CONTROL_MS_MAX = 10_000;
const EIO = 5;

/** Why it cannot be used here; undefined where it can. */
export const FIU_UNSUPPORTED: string | undefined = LIBRARIES !== undefined && CONTROL !== undefined
  ? undefined
  : "libfiu is not there: on Debian, apt-get install fiu-utils libfiu0";

/** The environment of a process that can be told to fail; its pipes are made beside `prefix`. */
export function fiuEnvironment(prefix: string): Readonly<Record<string, string>> {
  const libraries = ["fiu_run_preload.so", "fiu_posix_preload.so"].map((name) => `${LIBRARIES}/${name}`);
  return { LD_PRELOAD: libraries.join(":"), FIU_CTRL_FIFO: prefix };
}

/** From now on no fsync of the process succeeds. */
export async function failSyncs(pid: number, prefix: string): Promise<void> {
  for (const call of ["fsync", "fdatasync"]) {
    await control(["-f", prefix, "-c", `enable name=posix/io/sync/${call},failinfo=${EIO}`, String(pid)]);
  }
}

function control(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    // It waits for the process on the other side of the pipe.
    const child = spawn(CONTROL!, args, { stdio: "ignore", timeout: CONTROL_MS_MAX, killSignal: "SIGKILL" });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`fiu-ctrl ${args.join(" ")} ended with ${code ?? signal}`));
    });
  });
}
