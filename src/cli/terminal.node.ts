// What commands print, and how they end.

import process from "node:process";

/** A mistake in how a command was called: exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Says on standard error why a command failed, and sets its exit code. */
export function fail(error: unknown): void {
  process.stderr.write(`millrace: ${describe(error)}\n`);
  process.exitCode = error instanceof UsageError || error instanceof RangeError ? 2 : 1;
}

/** Says on standard error what the reader of the output should know. */
export function note(text: string): void {
  process.stderr.write(`millrace: ${text}\n`);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error && cause.message !== error.message
    ? `${error.message} (${cause.message})`
    : error.message;
}

/** Writes to standard output and waits while it is full. Ends the process quietly where nobody reads any more. */
export async function print(output: string | Uint8Array): Promise<void> {
  if (output.length === 0) return;
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(output, (error) => error ? reject(error) : resolve());
  });
}

export function printJson(value: unknown): Promise<void> {
  return print(`${JSON.stringify(value)}\n`);
}

/** Columns, aligned, without decoration. */
export function printTable(rows: readonly (readonly string[])[]): Promise<void> {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd();
  return print(rows.map((row) => `${line(row)}\n`).join(""));
}

/** Aborted by the first Ctrl-C or SIGTERM; the second ends the process at once. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  const interrupt = (signal: string) => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new Error(`interrupted by ${signal}`));
  };
  process.on("SIGINT", () => interrupt("SIGINT"));
  process.on("SIGTERM", () => interrupt("SIGTERM"));
  return controller.signal;
}
