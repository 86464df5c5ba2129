import { attackSuite } from "../suites/attack_suite.ts";
import { secureWebSocketParty } from "./hostile/websocket.node.ts";

attackSuite(secureWebSocketParty);
