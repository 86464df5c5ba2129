import { webTransports } from "../net/transports/webtransport.ts";
import { peerSuite } from "../suites/peer_suite.ts";
import { webTransportPeers } from "./peer_transports.ts";

for (const transport of webTransports) peerSuite(webTransportPeers(transport));
