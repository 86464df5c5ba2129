// Problem documents as answers of the HTTP API.

import { HTTPException } from "hono/http-exception";
import type { Context } from "hono";
import { documentOf, type ProblemCode, type ProblemDocument, problemDocument } from "../src/server/problem_document.ts";

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

/** The answer with the problem document for `code`. */
export function problem(code: ProblemCode, detail: string, extra: Record<string, unknown> = {}): Response {
  return answerWith(problemDocument(code, detail, extra));
}

/** The answer to anything that a route throws. */
export function problemOf(error: unknown, onInternal: (error: unknown) => void): Response {
  if (error instanceof Fault) return problem(error.code, error.message, error.extra);
  if (error instanceof HTTPException && error.status === 400) return problem("malformed-json", error.message);
  return answerWith(documentOf(error, onInternal));
}

/** Never cached: what is wrong now may be right a moment later. */
function answerWith(document: ProblemDocument): Response {
  const { status, retryable, leaderUrl } = document;
  const headers: Record<string, string> = {
    "content-type": "application/problem+json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  };
  if (retryable && status !== 500) headers["retry-after"] = "1";
  if (typeof leaderUrl === "string") headers["millrace-leader"] = leaderUrl;
  return new Response(JSON.stringify(document), { status, headers });
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
