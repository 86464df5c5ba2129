// Errors as RFC 9457 problem documents: one table from code to status, one place where anything thrown becomes an answer.

import { HTTPException } from "hono/http-exception";
import type { Context } from "hono";
import { ulid } from "ulid";
import { StoreError } from "../src/log/store_error.ts";
import { Refusal, type RefusalCode } from "../src/server/refusal.ts";
import { MemberError } from "../src/stream/member_error.ts";
import { ProtocolError } from "../src/wire/protocol_error.ts";

type ProblemCode =
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

/** Every kind of problem, with its code. */
export function problemKinds(): (ProblemKind & { code: string })[] {
  return Object.entries(PROBLEMS).map(([code, kind]) => ({ code, ...kind }));
}

/** A fault found by a route itself. `extra` members go into the document. */
export class Fault extends Error {
  override name = "Fault";
  readonly code: ProblemCode;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(code: ProblemCode, message: string, extra: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.extra = extra;
  }
}

/** The problem document for `code`. Never cached: what is wrong now may be right a moment later. */
export function problem(code: ProblemCode, detail: string, extra: Record<string, unknown> = {}): Response {
  const { status, title, retryable = false, sideEffects = "none" } = PROBLEMS[code];
  const document = {
    type: `/docs/problems#${code}`,
    title,
    status,
    code,
    detail,
    retryable,
    sideEffects,
    requestId: ulid(),
    ...extra,
  };
  const headers: Record<string, string> = {
    "content-type": "application/problem+json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  };
  if (retryable && status !== 500) headers["retry-after"] = "1";
  if (typeof extra["leaderUrl"] === "string") headers["millrace-leader"] = extra["leaderUrl"];
  return new Response(JSON.stringify(document), { status, headers });
}

/** The answer to anything that a route throws. */
export function problemOf(error: unknown, onInternal: (error: unknown) => void): Response {
  if (error instanceof Refusal) return problem(error.code, error.message, error.details);
  if (error instanceof Fault) return problem(error.code, error.message, error.extra);
  if (error instanceof ProtocolError && error.code === "frame-too-large") {
    return problem("entry-too-large", error.message);
  }
  if (error instanceof ProtocolError) return problem("malformed-frames", error.message, { fault: error.code });
  if (error instanceof StoreError && error.code === "damaged") return problem("damaged", error.message);
  if (error instanceof StoreError && error.code === "closed") return problem("draining", error.message);
  if (error instanceof MemberError && error.code === "closed") return problem("draining", error.message);
  if (error instanceof StoreError && error.code === "fenced") return problem("fenced", error.message);
  if (error instanceof HTTPException && error.status === 400) return problem("malformed-json", error.message);
  onInternal(error);
  return problem("internal", "an unexpected failure; the log of the node tells more");
}

/** What a route answers when its input does not fit the schema: every field that is wrong, with what is allowed. */
export function validationHook(
  result: { success: boolean; error?: { issues: { path: PropertyKey[]; message: string }[] } },
  _context: Context,
): Response | undefined {
  if (result.success) return undefined;
  const errors = result.error!.issues.map(({ path, message }) => ({ field: path.map(String).join("."), message }));
  return problem(
    "bad-request",
    errors.map(({ field, message }) => field ? `${field}: ${message}` : message).join("; "),
    { errors },
  );
}
