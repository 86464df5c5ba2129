import { attackSuite } from "../suites/attack_suite.ts";
import { tcpParty } from "./hostile/framed.node.ts";

attackSuite(tcpParty);
