import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { drainAnswer, nodeStatus, reloadAnswer, replicaStatus } from "../src/schema/api.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { json, refused } from "./responses.ts";

const show = createRoute({
  method: "get",
  path: "/v1/node",
  summary: "This node: transports, limits, durability, its certificate, certificate hashes now and next",
  responses: { 200: json(nodeStatus, "the node") },
});

const reload = createRoute({
  method: "post",
  path: "/v1/node/reload",
  summary: "Reads certificate, key and authorities again: new connections get the new ones, open ones go on",
  responses: {
    200: json(reloadAnswer, "what new connections get from now on"),
    409: { ...refused, description: "a problem document: a file cannot be used, and all stays as it was" },
  },
});

const replicas = createRoute({
  method: "get",
  path: "/v1/replicas",
  summary: "Every replica that this node feeds, browsers included",
  responses: { 200: json(z.object({ replicas: z.array(replicaStatus) }), "the replicas") },
});

const drain = createRoute({
  method: "post",
  path: "/v1/node/drain",
  summary: "Hands over all leaderships of this node that others can take, and takes none again",
  responses: { 200: json(drainAnswer, "what it leads no more, and what it leads still") },
});

const livez = createRoute({
  method: "get",
  path: "/livez",
  summary: "Whether the process answers",
  responses: { 200: json(z.object({ status: z.literal("ok") }), "it does") },
});

const readiness = z.object({ status: z.enum(["ready", "draining", "no-leader"]) });
const readyz = createRoute({
  method: "get",
  path: "/readyz",
  summary: "Whether the node takes requests",
  responses: {
    200: json(readiness, "it does"),
    503: json(readiness, "it is going away, or does not know yet which channels there are"),
  },
});

/** What the node is and how it does. */
export function nodeRoutes(node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono();
  app.openapi(show, (context) => context.json(node.status(), 200));
  app.openapi(reload, async (context) => context.json(await node.reload(), 200));
  app.openapi(replicas, async (context) => context.json({ replicas: await node.replicas() }, 200));
  app.openapi(drain, async (context) => context.json(await node.control.drain(), 200));
  app.openapi(livez, (context) => context.json({ status: "ok" as const }, 200));
  app.openapi(readyz, (context) => {
    if (node.draining) return context.json({ status: "draining" as const }, 503);
    if (!node.channels.isSettled) return context.json({ status: "no-leader" as const }, 503);
    return context.json({ status: "ready" as const }, 200);
  });
  return app;
}
