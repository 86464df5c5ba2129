// Errors as RFC 9457 problem documents, whatever carries them: one table of what each code means, one place where anything thrown
// becomes one.

import { ulid } from "ulid";
import { StoreError } from "../log/store_error.ts";
import { MemberError } from "../stream/member_error.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import { Refusal, type RefusalCode } from "./refusal.ts";

export type ProblemCode =
  | RefusalCode
  | "malformed-json"
  | "malformed-frames"
  | "unsupported-media-type"
  | "body-too-large"
  | "not-found"
  | "method-not-allowed"
  | "not-supported"
  | "foreign-host"
  | "foreign-origin"
  | "internal";

interface ProblemKind {
  readonly status: number;
  readonly title: string;
  readonly retryable?: true;
  /** Something may have happened although the answer is an error. */
  readonly sideEffects?: "possible";
}

const PROBLEMS: Readonly<Record<ProblemCode, ProblemKind>> = {
  "bad-request": { status: 422, title: "The request has fields that are not allowed" },
  "malformed-json": { status: 400, title: "The body is not JSON" },
  "malformed-frames": { status: 422, title: "The body is not whole, valid frames" },
  "unsupported-media-type": { status: 415, title: "The content type is not one that is understood here" },
  "body-too-large": { status: 413, title: "The body is too large" },
  "not-found": { status: 404, title: "There is nothing at this address" },
  "method-not-allowed": { status: 405, title: "The address does not have this method" },
  "not-supported": { status: 501, title: "This version does not do that" },
  "foreign-host": { status: 421, title: "The Host is not one of this node" },
  "foreign-origin": { status: 403, title: "Pages of this origin may not use this node" },
  internal: { status: 500, title: "The node failed", retryable: true, sideEffects: "possible" },
  "unknown-channel": { status: 404, title: "There is no such channel" },
  "channel-exists": { status: 409, title: "The channel exists with another configuration" },
  "system-channel": { status: 403, title: "The channel belongs to Millrace" },
  "entry-too-large": { status: 413, title: "The entry is too large for the channel" },
  "empty-append": { status: 422, title: "There is no entry in the body" },
  "precondition-failed": { status: 412, title: "The channel is not where If-Match expects it" },
  "past-tail": { status: 416, title: "The entry is past the tail" },
  behind: { status: 503, title: "The node does not know of that entry yet", retryable: true },
  "removed-entries": { status: 410, title: "The entry is no longer kept" },
  backpressure: { status: 429, title: "Too much waits for the disk", retryable: true },
  "not-leader": { status: 421, title: "Another node leads the channel" },
  "no-leader": { status: 503, title: "Nobody leads the channel at this moment", retryable: true },
  "not-member": { status: 421, title: "The channel is not on this node" },
  "bad-member": { status: 409, title: "The node cannot be that in the channel" },
  "not-caught-up": { status: 409, title: "The node has not caught up with the channel", retryable: true },
  "sync-required": { status: 409, title: "The channel does not allow appends that are not synced" },
  "forward-too-large": { status: 413, title: "The body is too large to be passed on to the leader" },
  "producer-fenced": { status: 403, title: "The producer has begun a new epoch" },
  "producer-gap": { status: 409, title: "Appends of the producer before this one are missing" },
  "producer-mismatch": { status: 409, title: "The producer has used this number for another append" },
  "producer-stale": { status: 409, title: "The append is in the log, and where is no longer known" },
  "append-timeout": {
    status: 504,
    title: "The append was not confirmed in time",
    retryable: true,
    sideEffects: "possible",
  },
  "append-unknown": { status: 503, title: "Whether the append is stored is not known", sideEffects: "possible" },
  "disk-full": { status: 507, title: "The disk is full", retryable: true },
  damaged: { status: 503, title: "Stored entries are damaged" },
  fenced: { status: 503, title: "The channel takes no appends after a failure of its disk" },
  "no-certificate": { status: 409, title: "The node was started without a certificate" },
  "unusable-certificate": { status: 409, title: "The new certificate cannot be used, the one before stays in use" },
  draining: { status: 503, title: "The channel or the node goes away", retryable: true },
};

/** What is wrong, whether it may be right later, and whether anything may have happened; other members as the code has them. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  /** Of the HTTP answer that carries it. */
  readonly status: number;
  readonly code: ProblemCode;
  readonly detail: string;
  readonly retryable: boolean;
  readonly sideEffects: "none" | "possible";
  readonly requestId: string;
  readonly [extra: string]: unknown;
}

/** Every kind of problem, with its code. */
export function problemKinds(): (ProblemKind & { code: string })[] {
  return Object.entries(PROBLEMS).map(([code, kind]) => ({ code, ...kind }));
}

export function problemDocument(
  code: ProblemCode,
  detail: string,
  extra: Readonly<Record<string, unknown>> = {},
): ProblemDocument {
  const { status, title, retryable = false, sideEffects = "none" } = PROBLEMS[code];
  const type = `/docs/problems#${code}`;
  return { type, title, status, code, detail, retryable, sideEffects, requestId: ulid(), ...extra };
}

/** What `error` means to whoever asked; `onInternal` is told of one that nobody expects. */
export function documentOf(error: unknown, onInternal: (error: unknown) => void): ProblemDocument {
  if (error instanceof Refusal) return problemDocument(error.code, error.message, error.details);
  if (error instanceof ProtocolError && error.code === "frame-too-large") {
    return problemDocument("entry-too-large", error.message);
  }
  if (error instanceof ProtocolError) return problemDocument("malformed-frames", error.message, { fault: error.code });
  if (error instanceof StoreError && error.code === "damaged") return problemDocument("damaged", error.message);
  if (error instanceof StoreError && error.code === "closed") return problemDocument("draining", error.message);
  if (error instanceof MemberError && error.code === "closed") return problemDocument("draining", error.message);
  if (error instanceof StoreError && error.code === "fenced") return problemDocument("fenced", error.message);
  onInternal(error);
  return problemDocument("internal", "an unexpected failure; the log of the node tells more");
}
