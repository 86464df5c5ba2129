// How a request to a node fails: refused by it, or never answered.

/** The node refused: its problem document as an error. */
export class ProblemError extends Error {
  override name = "ProblemError";
  readonly status: number;
  readonly code: string;
  readonly isRetryable: boolean;
  /** It may have happened although the answer is an error. */
  readonly hasSideEffects: boolean;
  readonly document: Readonly<Record<string, unknown>>;

  constructor(status: number, document: Record<string, unknown>) {
    super(`${document["title"] ?? `status ${status}`}: ${document["detail"] ?? ""} [${document["code"] ?? status}]`);
    this.status = status;
    this.code = String(document["code"] ?? "");
    // What is no problem document was written by something between us and the node.
    this.hasSideEffects = document["sideEffects"] === "possible" || (status >= 500 && document["code"] === undefined);
    this.isRetryable = document["retryable"] === true && document["sideEffects"] === "none";
    this.document = document;
  }
}

/** Nobody answered at the address of the node. */
export class UnreachableError extends Error {
  override name = "UnreachableError";
  /** There was no connection, so that nothing can have happened. */
  readonly isUnsent: boolean;

  constructor(message: string, cause: unknown, { isUnsent = isRefused(cause) } = {}) {
    super(message, { cause });
    this.isUnsent = isUnsent;
  }
}

/** Each runtime says in its own words that nobody listens. */
function isRefused(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    const { code } = each as { code?: unknown };
    if (/ECONNREFUSED|ConnectionRefused|connection refused/i.test(`${code} ${each.message}`)) return true;
  }
  return false;
}
