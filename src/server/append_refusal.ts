// What an append is answered with where it does not succeed: whether anything can have happened is what matters most.

import { StoreError } from "../log/store_error.ts";
import { MemberError } from "../stream/member_error.ts";
import { Refusal } from "./refusal.ts";

export interface AppendFailure {
  /** Whether the entries have got into the log of the leader. */
  readonly isAppended: boolean;
  /** Whether no other node can have them. */
  readonly isAlone: boolean;
  readonly appendTimeoutMs: number;
  readonly notLeading: () => Refusal;
}

/** The refusal that `error` means; what is none of the expected failures is given back as it is. */
export function appendRefusal(error: unknown, failure: AppendFailure): unknown {
  const { isAppended, isAlone, appendTimeoutMs, notLeading } = failure;
  if (error instanceof StoreError && error.code === "closed") return new Refusal("draining", error.message);
  if (!(error instanceof MemberError)) return error;
  const cause = { cause: error };
  const stored = error.cause instanceof StoreError ? error.cause : undefined;
  // Entries leave for the others before they are written here: what is taken back here may be committed there.
  if (stored?.code === "disk-full" && (isAlone || !isAppended)) {
    return new Refusal("disk-full", stored.message, {}, cause);
  }
  if (!isAppended) {
    if (error.code === "fenced") return new Refusal("fenced", error.message, {}, cause);
    if (error.code === "closed") return new Refusal("draining", error.message, {}, cause);
    return notLeading();
  }
  if (error.code === "timeout") {
    const detail = `what was asked for was not achieved within ${appendTimeoutMs} ms; it may yet be`;
    return new Refusal("append-timeout", detail, {}, cause);
  }
  const detail = `the append may or may not be committed: ${stored?.message ?? error.message}`;
  return new Refusal("append-unknown", detail, {}, cause);
}
