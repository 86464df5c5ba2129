import type { IncomingMessage, ServerResponse } from "node:http";
import { bodyBytesMin, type BodyGuardOptions, tooSlow } from "./request_body.ts";

/**
 * Ends a request whose body of declared length stalls or trickles, without touching the body: wrapping each would cost Node a
 * good part of its requests per second, and its own `requestTimeout` knows the whole only, not the pace.
 */
export function paceBody(incoming: IncomingMessage, outgoing: ServerResponse, options: BodyGuardOptions): void {
  if ((incoming.headers["content-length"] ?? "0") === "0") return;
  const { limits, clock } = options;
  let bytesRead = incoming.socket.bytesRead;
  let cancel = clock.schedule(limits.bodyStallMs, look);
  incoming.once("end", () => cancel());
  outgoing.once("close", () => cancel());

  function look(): void {
    const size = incoming.socket.bytesRead - bytesRead;
    bytesRead += size;
    // Bytes that lie here unread show that it is the handler who is slow.
    const isPeerSlow = !incoming.complete && incoming.readableLength === 0 && size < bodyBytesMin(limits.bodyStallMs);
    if (!isPeerSlow) cancel = incoming.complete ? cancel : clock.schedule(limits.bodyStallMs, look);
    else if (outgoing.headersSent) incoming.destroy();
    else void refuse(incoming, outgoing, tooSlow(limits.bodyStallMs));
  }
}

async function refuse(incoming: IncomingMessage, outgoing: ServerResponse, response: Response): Promise<void> {
  const body = await response.text();
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(body, () => incoming.socket.destroy());
}
