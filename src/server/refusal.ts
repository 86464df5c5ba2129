const CODES = [
  "bad-request",
  "unknown-channel",
  "channel-exists",
  "system-channel",
  "entry-too-large",
  "empty-append",
  "precondition-failed",
  "past-tail",
  "behind",
  "removed-entries",
  "backpressure",
  "not-leader",
  "no-leader",
  "not-member",
  "bad-member",
  "not-caught-up",
  "sync-required",
  "forward-too-large",
  "producer-fenced",
  "producer-gap",
  "producer-mismatch",
  "producer-stale",
  "append-timeout",
  "append-unknown",
  "disk-full",
  "damaged",
  "fenced",
  "no-certificate",
  "unusable-certificate",
  "draining",
] as const;

/** Why the node did not do what it was asked for. What each means is in problem_document.ts. */
export type RefusalCode = (typeof CODES)[number];

export function isRefusalCode(code: string): code is RefusalCode {
  return (CODES as readonly string[]).includes(code);
}

/** An expected "no" to a request. `details` go into the answer as they are. */
export class Refusal extends Error {
  override name = "Refusal";
  readonly code: RefusalCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: RefusalCode,
    message: string,
    details: Record<string, unknown> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}
