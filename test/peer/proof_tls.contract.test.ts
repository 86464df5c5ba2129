import { peerSuite } from "../suites/peer_suite.ts";
import { tlsPeers, webSocketPeers } from "./peer_transports.ts";

peerSuite(tlsPeers);
peerSuite(webSocketPeers);
