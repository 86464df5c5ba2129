import { connectWebSocket } from "../websocket/connect_websocket.ts";
import { connectCapability } from "../webtransport/capability.ts";
import { connectWebTransport } from "../webtransport/connect_webtransport.ts";
import type { Dialers } from "./dialer.ts";

/** The transports that a browser has, over the global WebSocket and WebTransport. */
export const WEB_DIALERS: Dialers = {
  webtransport: {
    capability: connectCapability,
    dial: ({ url, certificateHashes, http = "h3" }, { limits, environment, signal }) =>
      connectWebTransport({ url, certificateHashes, http, limits, environment, signal }),
  },
  websocket: {
    dial: ({ url }, { limits, environment, signal }) => connectWebSocket({ url, limits, environment, signal }),
  },
};
