import { peerSuite } from "../suites/peer_suite.ts";
import { mutualQuicPeers, signedQuicPeers } from "./peer_transports.ts";

peerSuite(mutualQuicPeers);
peerSuite(signedQuicPeers);
