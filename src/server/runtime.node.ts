// Which runtime this is, and what it can listen with. Chosen once, here; nothing above asks again.

import process from "node:process";
import type { HttpListener, HttpListenOptions } from "../net/websocket/listen_options.ts";
import type { WebTransportListener, WebTransportListenOptions } from "../net/webtransport/listen.deno.ts";

export interface Runtime {
  /** Name and version, for people. */
  readonly name: string;
  readonly listenHttp: (options: HttpListenOptions) => Promise<HttpListener>;
  /** Absent where this runtime cannot; `webTransportReason` says why, and what would enable it. */
  readonly listenWebTransport?: (options: WebTransportListenOptions) => Promise<WebTransportListener>;
  readonly webTransportReason: string;
}

/** Loads the listeners of the runtime that this process runs on. */
export async function currentRuntime(): Promise<Runtime> {
  const { versions } = process;
  if (versions["deno"] !== undefined) {
    const { listenHttp } = await import("../net/websocket/listen.node.ts");
    const { listenWebTransport } = await import("../net/webtransport/listen.deno.ts");
    return { name: `deno ${versions["deno"]}`, listenHttp, listenWebTransport, webTransportReason: "native in Deno" };
  }
  const webTransportReason = "only Deno has a WebTransport server of its own: run this node on Deno to enable it";
  if (versions["bun"] !== undefined) {
    const { listenHttp } = await import("../net/websocket/listen.bun.ts");
    return { name: `bun ${versions["bun"]}`, listenHttp, webTransportReason };
  }
  const { listenHttp } = await import("../net/websocket/listen.node.ts");
  return { name: `node ${versions.node}`, listenHttp, webTransportReason };
}
