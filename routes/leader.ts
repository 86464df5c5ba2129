import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { leaderTransfer, memberChange } from "../src/schema/api.ts";
import { channelName } from "../src/schema/channel.ts";
import { replicaSetNow } from "../src/schema/node_commands.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { jsonRequest } from "./body.ts";
import { validationHook } from "./problem.ts";
import { json, refused } from "./responses.ts";

/** Largest body of these requests. */
const BODY_BYTES_MAX = 4 << 10;
const params = z.object({ name: channelName });
const refusals = { 400: refused, 404: refused, 409: refused, 413: refused, 415: refused, 422: refused, 503: refused };

const transfer = createRoute({
  method: "post",
  path: "/v1/channels/{name}/leader",
  summary: "Hand the leadership of a channel over; every node takes the request and passes it to the leader",
  request: { params, body: { content: { "application/json": { schema: leaderTransfer } }, required: false } },
  responses: { 200: json(replicaSetNow, "another node leads, or is about to"), ...refusals },
});

const change = createRoute({
  method: "post",
  path: "/v1/channels/{name}/members",
  summary: "Add a voter or an observer to a channel, or take a node out; one node at a time",
  request: { params, body: { content: { "application/json": { schema: memberChange } } } },
  responses: { 200: json(replicaSetNow, "who belongs to it now"), ...refusals },
});

/** Who leads a channel, and who belongs to it. */
export function leaderRoutes(node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono({ defaultHook: validationHook });
  for (const path of ["/v1/channels/:name/leader", "/v1/channels/:name/members"]) {
    app.use(path, async (context, next) => {
      if (context.req.method === "POST") context.req.raw = await jsonRequest(context.req.raw, BODY_BYTES_MAX);
      await next();
    });
  }
  app.openapi(transfer, async (context) => {
    const { nodeId: to } = leaderTransfer.parse(context.req.valid("json") ?? {});
    const { name } = context.req.valid("param");
    return context.json(await node.control.ask(name, { op: "transfer", ...(to === undefined ? {} : { to }) }), 200);
  });
  app.openapi(change, async (context) => {
    const { add, observe, remove } = context.req.valid("json");
    const { name } = context.req.valid("param");
    const op = add !== undefined ? "add" : observe !== undefined ? "observe" : "remove";
    return context.json(await node.control.ask(name, { op, nodeId: (add ?? observe ?? remove)! }), 200);
  });
  return app;
}
