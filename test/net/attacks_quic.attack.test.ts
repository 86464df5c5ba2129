import { attackSuite } from "../suites/attack_suite.ts";
import { quicParty } from "./hostile/quic.node.ts";

attackSuite(quicParty);
