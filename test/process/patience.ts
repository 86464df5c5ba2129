/** The part of `process` that is used here; a page has none. */
const { env } = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process ?? {};

/**
 * How many times as long tests wait, and make others wait, as on a machine that has nothing else to do: 1, and more in the second
 * run of a file that has failed (MILLRACE_TEST_PATIENCE, set by test/runtimes/run.mjs).
 */
export const PATIENCE = Number(env?.["MILLRACE_TEST_PATIENCE"] ?? 1);
