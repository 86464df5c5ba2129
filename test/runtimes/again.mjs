// A second run of what failed in a lane: which files it takes, and what both runs come to.

import { keyOf } from "./junit.mjs";

/**
 * Of what a run said of a runtime: whether something failed there.
 * @param {{ cases: { title: string, outcome: string, file?: string }[], crash?: string }} result
 */
export function hasFailed({ cases, crash }) {
  return crash !== undefined || cases.some(({ outcome }) => outcome === "failed");
}

/** In which files a title stands. Only Bun's reports tell, and the titles are the same everywhere. */
export function fileIndex(cases) {
  const index = new Map();
  for (const { title, file } of cases) {
    if (file === undefined) continue;
    const key = keyOf(title);
    index.set(key, (index.get(key) ?? new Set()).add(file));
  }
  return index;
}

/**
 * The files of the failed tests, or `undefined` for all: a test's file is not known, or the runtime ended badly.
 * @param {{ cases: { title: string, outcome: string, file?: string }[], crash?: string }} result
 * @param {Map<string, Set<string>>} index
 */
export function failedFiles({ cases, crash }, index) {
  if (crash !== undefined) return undefined;
  const found = cases.filter(({ outcome }) => outcome === "failed").map((each) => filesOf(each, index));
  return found.some((files) => files.length === 0) ? undefined : [...new Set(found.flat())].sort();
}

/** All cases, those of `files` (or all) as the second run had them. */
export function mergedCases(first, second, { files, index }) {
  if (files === undefined) return second;
  const again = new Set(files);
  const kept = first.filter((each) => !filesOf(each, index).some((file) => again.has(file)));
  return [...kept, ...second];
}

/** Titles that failed in the first run and passed in the second one. */
export function passedAtLast(first, second) {
  const failed = new Set(first.filter(({ outcome }) => outcome === "failed").map(({ title }) => title));
  return second.filter(({ title, outcome }) => outcome === "passed" && failed.has(title)).map(({ title }) => title);
}

function filesOf({ title, file }, index) {
  return file === undefined ? [...index.get(keyOf(title)) ?? []] : [file];
}
