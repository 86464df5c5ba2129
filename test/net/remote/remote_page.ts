// A page that is one side of a test: bundled for browsers, and given `?peer=ADDRESS`, where the test waits for it.

import type { Session } from "../../../src/net/session.ts";
import { connectWebSocket } from "../../../src/net/websocket/connect_websocket.ts";
import { connectWebTransport } from "../../../src/net/webtransport/connect_webtransport.ts";
import { environment } from "../../../web/environment.web.ts";
import type { CrossConnectOptions, CrossIdentity, CrossName } from "./party.ts";
import { Rpc } from "./rpc.ts";
import { SessionHost } from "./session_host.ts";

interface ConnectRequest {
  readonly attempt: number;
  readonly name: CrossName;
  readonly identity: CrossIdentity;
  readonly options: CrossConnectOptions;
}

function connect({ name, identity, options }: ConnectRequest, signal: AbortSignal): Promise<Session> {
  if (name === "WebSocket") return connectWebSocket({ ...options, environment, signal });
  const certificateHashes = [identity.serverHash];
  return connectWebTransport({ ...options, certificateHashes, environment, signal });
}

const webSocket = new WebSocket(new URL(location.href).searchParams.get("peer")!);
webSocket.binaryType = "arraybuffer";
const rpc = new Rpc((message) => webSocket.send(message));
const host = new SessionHost(rpc);
const attempts = new Map<number, AbortController>();
const faults: string[] = [];
addEventListener("unhandledrejection", (event) => {
  faults.push(`unhandled: ${(event as PromiseRejectionEvent).reason}`);
});

rpc.handle({
  connect: async (params) => {
    const request = params as ConnectRequest;
    const abandoned = new AbortController();
    attempts.set(request.attempt, abandoned);
    try {
      return { result: host.add(await connect(request, abandoned.signal)) };
    } finally {
      attempts.delete(request.attempt);
    }
  },
  abandon: (params) => {
    attempts.get((params as ConnectRequest).attempt)?.abort(new Error("abandoned by the test"));
    return {};
  },
  leftovers: () => ({ result: faults.splice(0) }),
});
webSocket.onmessage = ({ data }) => rpc.received(data as ArrayBuffer);
