import { createRoute, OpenAPIHono } from "@hono/zod-openapi";
import { peerList } from "../src/schema/api.ts";
import { peer } from "../src/schema/config.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { jsonRequest } from "./body.ts";
import { nodeEventStream } from "./node_event_stream.ts";
import { validationHook } from "./problem.ts";
import { json, refused } from "./responses.ts";

const BODY_BYTES_MAX = 4 << 10;

const list = createRoute({
  method: "get",
  path: "/v1/peers",
  summary: "The other nodes of the cluster: state, transport, round-trip time, suspicion, bytes of each lane",
  responses: { 200: json(peerList, "the peers") },
});

const add = createRoute({
  method: "post",
  path: "/v1/peers",
  summary: "One more node of the cluster, until this one ends: its configuration is to name it too",
  request: { body: { content: { "application/json": { schema: peer } } } },
  responses: {
    200: json(peerList, "the peers"),
    400: refused,
    409: { ...refused, description: "a problem document: it is known by another address, or not to be reached safely" },
    413: refused,
    415: refused,
    422: refused,
  },
});

const events = createRoute({
  method: "get",
  path: "/v1/events",
  summary: "What happens between this node and its peers and in the replica sets of its channels, from now on",
  responses: {
    200: {
      description:
        "server-sent events connecting, connected, disconnected, connectFailed (of peers), electionStarted, " +
        "leaderChanged, steppedDown, truncated, membershipChanged, doubtful, sound (of channels); missed tells a client " +
        "that was too slow",
      content: { "text/event-stream": { schema: { type: "string" } } },
    },
  },
});

/** The mesh that the node belongs to. */
export function peerRoutes(node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono({ defaultHook: validationHook });
  app.use("/v1/peers", async (context, next) => {
    if (context.req.method === "POST") context.req.raw = await jsonRequest(context.req.raw, BODY_BYTES_MAX);
    await next();
  });
  app.openapi(add, (context) => context.json(node.addPeer(context.req.valid("json")), 200));
  app.openapi(list, (context) => context.json(node.peers(), 200));
  app.openapi(events, (context) => nodeEventStream(node, context.req.raw.signal) as never);
  return app;
}
