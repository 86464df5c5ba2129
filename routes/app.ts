// The HTTP control API of a node: an app made of one file per resource, given the node it controls.

import { OpenAPIHono } from "@hono/zod-openapi";
import { getLogger } from "@logtape/logtape";
import type { HttpHandler, MillraceNode } from "../src/server/node.ts";
import { appendRoutes } from "./append.ts";
import { channelRoutes } from "./channels.ts";
import { addDocs } from "./docs.ts";
import { leaderRoutes } from "./leader.ts";
import { guard } from "./guard.ts";
import { metricsRoutes } from "./metrics.ts";
import { nodeRoutes } from "./node.ts";
import { pageRoutes } from "./page.ts";
import { peerRoutes } from "./peers.ts";
import { problem, problemOf } from "./problem.ts";
import { readRoutes } from "./read.ts";

const logger = getLogger(["millrace", "http"]);
const ALL_ROUTES = [
  channelRoutes,
  appendRoutes,
  readRoutes,
  leaderRoutes,
  nodeRoutes,
  peerRoutes,
  metricsRoutes,
  pageRoutes,
];
const METHODS = ["GET", "PUT", "POST", "DELETE"];

/** The app that serves `node`. */
export function createApp(node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono();
  app.use("*", guard(node.config));
  for (const routes of ALL_ROUTES) {
    app.route("/", routes(node));
  }
  addDocs(app);
  app.notFound((context) => {
    const { method, path } = context.req;
    const others = METHODS.filter((other) => other !== method && hasRoute(app, other, path));
    if (others.length > 0) {
      const refusal = problem("method-not-allowed", `${path} has no ${method}, only ${others.join(", ")}`);
      refusal.headers.set("allow", others.join(", "));
      return refusal;
    }
    return problem("not-found", `there is nothing at ${path}`);
  });
  app.onError((error) => problemOf(error, (internal) => logger.error("a request failed: {internal}", { internal })));
  return app;
}

export function httpHandler(node: MillraceNode): HttpHandler {
  const app = createApp(node);
  return (request) => app.fetch(request);
}

function hasRoute(app: OpenAPIHono, method: string, path: string): boolean {
  const [handlers] = app.router.match(method, path);
  return handlers.some(([[_, route]]) => route.method === method);
}
