import type { OpenAPIHono } from "@hono/zod-openapi";
import { Scalar } from "@scalar/hono-api-reference";
import { VERSION } from "../src/server/version.ts";
import { problemKinds } from "../src/server/problem_document.ts";

const API_INFO = {
  openapi: "3.1.0",
  info: {
    title: "Millrace control API",
    version: VERSION,
    description: "Channels of a replicated append-only log: create them, append to them, read and follow them.",
  },
};

/** The documents about the API: made from the routes of `app`, which must all be there, and from the table of problems. */
export function addDocs(app: OpenAPIHono): void {
  app.doc31("/openapi.json", API_INFO);
  app.get("/docs", Scalar({ url: "/openapi.json", pageTitle: "Millrace control API" }));
  app.get("/docs/problems", (context) => context.html(problemPage()));
}

/** The page that the `type` of every problem document points to. */
function problemPage(): string {
  const rows = problemKinds().map(({ code, status, title, retryable = false, sideEffects = "none" }) =>
    `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${title}</td>` +
    `<td>${retryable ? "yes" : "no"}</td><td>${sideEffects}</td></tr>`
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Problems of the Millrace API</title>
<h1>Problems</h1>
<p>Every error of the API is a problem document (RFC 9457) with one of these codes. <i>Retry</i>: the same request may succeed
later. <i>Side effects</i>: whether something may have happened although the answer is an error.</p>
<table><tr><th>code</th><th>status</th><th>meaning</th><th>retry</th><th>side effects</th></tr>
${rows.join("\n")}
</table></html>`;
}
