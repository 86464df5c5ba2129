import { connectTcp } from "../../../src/net/tls/connect.node.ts";
import { listenTcp } from "../../../src/net/tls/listen.node.ts";
import { environment } from "../../../src/server/environment.node.ts";
import type { TransportUnderTest } from "./transport_under_test.ts";

export const tcp: TransportUnderTest = {
  name: "TCP",
  carriesCloseReason: true,
  isMultiplexed: true,
  listen: listenTcp,
  connect: ({ url }, options) => connectTcp({ url, environment, ...options }),
};
