// What happens to a node as server-sent events, from the moment of the request on.

import { utf8 } from "../src/lib/bytes.ts";
import type { MillraceNode } from "../src/server/node.ts";

/** A comment is sent when nothing else was for this long, so that proxies keep the connection. */
const PING_INTERVAL_MS = 15_000;

/** A response whose body goes on until the client leaves or the node ends. */
export function nodeEventStream(node: MillraceNode, signal: AbortSignal): Response {
  const left = new AbortController();
  const events = node.events(AbortSignal.any([signal, left.signal]));
  const { clock } = node.environment;
  let waiting: ReturnType<typeof events.next> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(utf8(": the node from now on\n\n"));
    },
    async pull(controller) {
      waiting ??= events.next();
      let cancel = () => {};
      const idle = new Promise<"idle">((resolve) => cancel = clock.schedule(PING_INTERVAL_MS, () => resolve("idle")));
      const heard = await Promise.race([waiting, idle]);
      cancel();
      if (heard === "idle") return controller.enqueue(utf8(": ping\n\n"));
      waiting = undefined;
      if (heard.done) return controller.close();
      controller.enqueue(utf8(eventText(heard.value)));
    },
    cancel() {
      left.abort();
    },
  }, { highWaterMark: 0 });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
}

function eventText(heard: { value: { event: string } } | { missed: number }): string {
  const [event, data] = "value" in heard ? [heard.value.event, heard.value] : ["missed", { count: heard.missed }];
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
