import { OpenAPIHono } from "@hono/zod-openapi";
import type { MillraceNode } from "../src/server/node.ts";
import { Page, PAGE_FILES } from "../src/server/page.node.ts";

const CONTENT_SECURITY_POLICY =
  "default-src 'self'; style-src 'self'; script-src 'self'; connect-src *; frame-ancestors 'none'; base-uri 'none'";

/** The console page and the browser library, bundled when first asked for. */
export function pageRoutes(_node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono();
  const page = new Page();
  const serve = async (name: string, request: Request): Promise<Response> => {
    const { body, type, etag } = await page.file(name);
    const headers = {
      "content-type": type,
      etag,
      "cache-control": "no-cache",
      "content-security-policy": CONTENT_SECURITY_POLICY,
    };
    if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers });
    return new Response(body, { headers });
  };
  app.get("/", (context) => serve("index.html", context.req.raw));
  for (const name of PAGE_FILES) {
    app.get(`/${name}`, (context) => serve(name, context.req.raw));
  }
  return app;
}
