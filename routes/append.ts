import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Crc32 } from "../src/core/environment.ts";
import type { ProducerTriple } from "../src/core/producers.ts";
import { ackLevel, appendAnswer } from "../src/schema/api.ts";
import { channelName } from "../src/schema/channel.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { isProducerId } from "../src/wire/producer_extension.ts";
import { checkAppend, frameUnplaced } from "../src/wire/stamp_run.ts";
import { mediaType, readBody } from "./body.ts";
import { FRAMES_TYPE, framesOfLines, NDJSON_TYPE, OCTETS_TYPE } from "./entry_formats.ts";
import { Fault, validationHook } from "./problem.ts";
import { refused } from "./responses.ts";

const binary = z.string().openapi({ format: "binary" });
const PRODUCER_HEADERS = ["producer-id", "producer-epoch", "producer-seq"] as const;

const flag = z.enum(["true", "false"]);

const request = {
  params: z.object({ name: channelName }),
  query: z.object({
    ack: ackLevel.default("quorum"),
    sync: flag.default("true").describe("false: copies count before they are on disk, where the channel allows that"),
    forward: flag.default("false").describe("true: a node that does not lead passes the append on to the leader"),
  }),
  headers: z.object({
    "if-match": z.string().optional().openapi({ description: 'the expected next seq, as "<seq>"' }),
    "producer-id": z.string().optional().openapi({
      description: "who appends, 1 to 64 visible characters; given with both of the following, or not at all",
    }),
    "producer-epoch": z.string().optional().openapi({ description: "number of the producer's life, from 0" }),
    "producer-seq": z.string().optional().openapi({
      description:
        "number of this append in it, from 0: sent again, it gets the first answer and Millrace-Duplicate: true",
    }),
  }),
};
/** What a request says besides its body, checked at one go. */
const head = z.object({ ...request.params.shape, ...request.query.shape });

const append = createRoute({
  method: "post",
  path: "/v1/channels/{name}/entries",
  summary: "Append entries",
  description:
    "One entry (octet-stream), one per line (x-ndjson), or many frames. The answer says what durability was achieved.",
  request: {
    ...request,
    body: {
      content: {
        [OCTETS_TYPE]: { schema: binary },
        [NDJSON_TYPE]: { schema: binary },
        [FRAMES_TYPE]: { schema: binary },
      },
    },
  },
  responses: {
    200: { description: "appended", content: { "application/json": { schema: appendAnswer } } },
    403: refused,
    404: refused,
    409: refused,
    412: refused,
    413: refused,
    415: refused,
    421: {
      ...refused,
      description: "a problem document: another node leads; the header Millrace-Leader says where it is",
    },
    422: refused,
    429: refused,
    501: refused,
    503: refused,
    504: refused,
    507: refused,
  },
});

/** Appending entries in each of the three forms. */
export function appendRoutes(node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono();
  // Described here and checked below: with the validators of `openapi` an append of one entry took Bun 92 us instead of 62.
  app.openAPIRegistry.registerPath(append);
  app.post(append.getRoutingPath(), async (context) => {
    const query = (name: string) => {
      const asked = context.req.queries(name) ?? [];
      return asked.length > 1 ? asked : asked[0];
    };
    const [ack, sync, forward] = [query("ack"), query("sync"), query("forward")];
    const checked = head.safeParse({ name: context.req.param("name"), ack, sync, forward });
    if (!checked.success) return validationHook(checked, context);
    const { name } = checked.data;
    const channel = node.channels.appendable(name, { isForwarded: checked.data.forward === "true" });
    const { raw } = context.req;
    const type = mediaType(raw);
    if (![OCTETS_TYPE, NDJSON_TYPE, FRAMES_TYPE].includes(type)) {
      const allowed = `${OCTETS_TYPE}, ${NDJSON_TYPE}, ${FRAMES_TYPE}`;
      throw new Fault("unsupported-media-type", `content type is ${JSON.stringify(type)}, allowed are ${allowed}`);
    }
    const producer = producerOf(raw.headers);
    const expectNextSeq = expectedSeq(context.req.header("if-match"));
    const body = await readBody(raw, node.config.limits.requestBodyBytesMax);
    const frames = toFrames(body, {
      type,
      entryBytesMax: channel.config.limits.entryBytesMax,
      crc32: node.environment.crc32,
    });
    const isSynced = checked.data.sync === "true";
    const request = { frames, ack: checked.data.ack, isSynced, expectNextSeq, producer };
    const { isDuplicate = false, ...answer } = await channel.append(request);
    return context.json(answer, 200, isDuplicate ? { "millrace-duplicate": "true" } : {});
  });
  return app;
}

/** Who appends, by the headers. @throws Fault `bad-request` where some are missing or wrong. */
function producerOf(headers: Headers): ProducerTriple | undefined {
  const [id, epoch, seq] = PRODUCER_HEADERS.map((name) => headers.get(name));
  if (id === null && epoch === null && seq === null) return undefined;
  const missing = PRODUCER_HEADERS.filter((name) => !headers.has(name));
  if (missing.length > 0) throw new Fault("bad-request", `${missing.join(", ")}: missing beside the others`);
  if (!isProducerId(id!)) {
    throw new Fault("bad-request", `producer-id: ${JSON.stringify(id)}, allowed are 1 to 64 visible characters`);
  }
  return { id: id!, epoch: wholeNumber("producer-epoch", epoch!), seq: wholeNumber("producer-seq", seq!) };
}

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new Fault("bad-request", `${name}: ${JSON.stringify(text)}, allowed is a whole number`);
}

function toFrames(
  body: Uint8Array,
  { type, entryBytesMax, crc32 }: { type: string; entryBytesMax: number; crc32: Crc32 },
): Uint8Array {
  if (type === OCTETS_TYPE) {
    if (body.byteLength > entryBytesMax) {
      throw new Fault("entry-too-large", `the entry has ${body.byteLength} bytes, allowed are ${entryBytesMax}`);
    }
    return frameUnplaced([body]);
  }
  const frames = type === NDJSON_TYPE ? framesOfLines(body, entryBytesMax) : body;
  if (type === FRAMES_TYPE) checkAppend(frames, entryBytesMax, crc32);
  if (frames.byteLength === 0) throw new Fault("empty-append", "the body has no entry");
  return frames;
}

function expectedSeq(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined) return undefined;
  const seq = /^"(\d{1,16})"$/.exec(ifMatch)?.[1];
  if (seq === undefined) {
    throw new Fault("bad-request", `If-Match is ${JSON.stringify(ifMatch)}, allowed is "<seq>" in quotes`);
  }
  return Number(seq);
}
