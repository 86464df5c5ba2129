// From the operating system's errors to StoreError. The one place that knows errno names.

import { StoreError } from "./store_error.ts";

const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** The StoreError for a failed system call `what` on `path`. A StoreError passes unchanged. */
export function storeErrorOf(error: unknown, what: string, path: string): StoreError {
  if (error instanceof StoreError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const kind = code !== undefined && FULL.has(code) ? "disk-full" : "failed";
  return new StoreError(kind, `${what} of ${path} failed: ${code ?? message}`, { cause: error });
}
