// Which runtime this is, and what it can listen with. Chosen once, here; nothing above asks again.

import process from "node:process";
import { type BackendChoice, backendChoice, loadBackends } from "../net/webtransport/backends.node.ts";
import type { HttpListener, HttpListenOptions } from "../net/websocket/listen_options.ts";

export interface Runtime {
  /** Name and version, for people. */
  readonly name: string;
  readonly listenHttp: (options: HttpListenOptions) => Promise<HttpListener>;
  /** What carries WebTransport here, over HTTP/3 and over HTTP/2, and why; what is missing, and what would enable it. */
  readonly webTransport: BackendChoice;
}

/** Loads the listeners of the runtime that this process runs on. */
export async function currentRuntime(): Promise<Runtime> {
  const [name, version] = runtimeName();
  const { listenHttp } = name === "bun"
    ? await import("../net/websocket/listen.bun.ts")
    : await import("../net/websocket/listen.node.ts");
  return { name: `${name} ${version}`, listenHttp, webTransport: backendChoice(await loadBackends()) };
}

function runtimeName(): [name: string, version: string] {
  const { versions } = process;
  if (versions["deno"] !== undefined) return ["deno", versions["deno"]];
  if (versions["bun"] !== undefined) return ["bun", versions["bun"]];
  return ["node", versions.node];
}
