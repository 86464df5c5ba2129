import { attackSuite } from "../suites/attack_suite.ts";
import { tlsParty } from "./hostile/framed.node.ts";

attackSuite(tlsParty);
