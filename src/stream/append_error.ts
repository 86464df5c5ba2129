import { ProtocolError } from "../wire/protocol_error.ts";

/** The members of a problem document (RFC 9457) that say why something was refused. */
export type Problem = Readonly<Record<string, unknown>>;

/** An append over a session that did not succeed. */
export class AppendError extends Error {
  override name = "AppendError";
  /** `lost`, `busy`, `too-large`, or that of the node's refusal. */
  readonly code: string;
  /** The entries may be in the channel all the same. */
  readonly hasSideEffects: boolean;
  /** What the node answered, where it did. */
  readonly problem: Problem | undefined;

  constructor(code: string, message: string, options: { hasSideEffects?: boolean; problem?: Problem } = {}) {
    super(message);
    this.code = code;
    this.hasSideEffects = options.hasSideEffects ?? false;
    this.problem = options.problem;
  }

  /** The node's refusal. @throws ProtocolError where `json` is no problem document. */
  static ofProblem(json: string): AppendError {
    const problem = parsed(json);
    const { code, detail, sideEffects } = problem ?? {};
    if (typeof code !== "string" || typeof detail !== "string") {
      throw new ProtocolError("malformed-message", "a refusal without a problem document");
    }
    return new AppendError(code, detail, { hasSideEffects: sideEffects !== "none", problem: problem! });
  }
}

function parsed(json: string): Problem | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? value as Problem : undefined;
  } catch {
    return undefined;
  }
}
