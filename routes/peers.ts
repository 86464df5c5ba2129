import { createRoute, OpenAPIHono } from "@hono/zod-openapi";
import { peerList } from "../src/schema/api.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { nodeEventStream } from "./node_event_stream.ts";
import { json } from "./responses.ts";

const list = createRoute({
  method: "get",
  path: "/v1/peers",
  summary: "The other nodes of the cluster: state, transport, round-trip time, suspicion, bytes of each lane",
  responses: { 200: json(peerList, "the peers") },
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
  const app = new OpenAPIHono();
  app.openapi(list, (context) => context.json(node.peers(), 200));
  app.openapi(events, (context) => nodeEventStream(node, context.req.raw.signal) as never);
  return app;
}
