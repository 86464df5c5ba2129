/** What a refusal at the edge of the network says; the rest of the document is the same for all of them. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly headers?: Record<string, string>;
  /** Default `none`: refused before anything happened. */
  readonly sideEffects?: "none" | "possible";
}

/** What may be tried again as it is: too slow this time, or no place right now. */
const RETRYABLE = [408, 429, 503];

/** An RFC 9457 problem document as a response. */
export function problemResponse(problem: Problem): Response {
  const { status, code, title, detail, sideEffects = "none" } = problem;
  const body = { type: "about:blank", title, status, detail, code, retryable: RETRYABLE.includes(status), sideEffects };
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...problem.headers },
  });
}
