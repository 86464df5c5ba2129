import { attackSuite } from "../suites/attack_suite.ts";
import { webSocketParty } from "./hostile/websocket.node.ts";

attackSuite(webSocketParty);
