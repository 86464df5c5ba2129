import { attackSuite } from "../suites/attack_suite.ts";
import { h2Party } from "./hostile/webtransport.node.ts";

attackSuite(h2Party);
