import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { channelList, channelStatus, listQuery } from "../src/schema/api.ts";
import { channelName, channelRequest, configOf } from "../src/schema/channel.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { jsonRequest } from "./body.ts";
import { Fault, validationHook } from "./problem.ts";
import { json, refused } from "./responses.ts";

/** Largest configuration of a channel as JSON. */
const CONFIG_BYTES_MAX = 64 << 10;
const params = z.object({ name: channelName });

const create = createRoute({
  method: "put",
  path: "/v1/channels/{name}",
  summary: "Create a channel",
  description:
    "The body is the channel's configuration; an empty one takes the defaults. A `/` in the name is sent as %2F.",
  request: { params, body: { content: { "application/json": { schema: channelRequest } }, required: false } },
  responses: {
    200: json(channelStatus, "it existed with this configuration"),
    201: json(channelStatus, "created"),
    400: refused,
    403: refused,
    409: refused,
    413: refused,
    415: refused,
    422: refused,
    503: refused,
    504: refused,
  },
});

const list = createRoute({
  method: "get",
  path: "/v1/channels",
  summary: "List channels by name",
  request: { query: listQuery },
  responses: { 200: json(channelList, "channels in order of their names"), 422: refused },
});

const show = createRoute({
  method: "get",
  path: "/v1/channels/{name}",
  summary: "Status of a channel and of the replicas it feeds",
  request: { params },
  responses: { 200: json(channelStatus, "the channel"), 404: refused, 503: refused },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/channels/{name}",
  summary: "Delete a channel and its entries for good",
  request: { params },
  responses: { 204: { description: "deleted" }, 403: refused, 404: refused, 503: refused, 504: refused },
});

/** Creating, listing, showing and deleting channels. */
export function channelRoutes(node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono({ defaultHook: validationHook });
  const statusOf = async (name: string) => {
    const status = node.channels.status(name);
    return { ...status, replicas: await node.replicas(name) };
  };
  app.use("/v1/channels/:name", async (context, next) => {
    if (context.req.method === "PUT") context.req.raw = await jsonRequest(context.req.raw, CONFIG_BYTES_MAX);
    await next();
  });
  app.openapi(create, async (context) => {
    const { name } = context.req.valid("param");
    const { entryBytesMax } = node.config.limits;
    const asked = channelRequest.parse(context.req.valid("json") ?? {});
    const config = configOf(asked, entryBytesMax);
    if (config.limits.entryBytesMax > entryBytesMax) {
      const found = config.limits.entryBytesMax;
      throw new Fault("bad-request", `limits.entryBytesMax: ${found} is above this node's ${entryBytesMax}`);
    }
    const isCreated = await node.channels.create(name, { config, voters: asked.voters });
    return isCreated ? context.json(await statusOf(name), 201) : context.json(await statusOf(name), 200);
  });
  app.openapi(list, (context) => {
    const { prefix, after, limit } = context.req.valid("query");
    const named = node.channels.statuses().filter(({ name }) => name.startsWith(prefix) && name > after);
    const counts = node.sessions.replicaCounts();
    const channels = named.slice(0, limit).map((status) => ({ ...status, replicaCount: counts.get(status.name) ?? 0 }));
    return context.json({ channels, hasMore: named.length > limit }, 200);
  });
  app.openapi(show, async (context) => context.json(await statusOf(context.req.valid("param").name), 200));
  app.openapi(remove, async (context) => {
    await node.channels.delete(context.req.valid("param").name);
    return context.body(null, 204);
  });
  return app;
}
