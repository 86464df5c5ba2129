import { attackSuite } from "../suites/attack_suite.ts";
import { denoParty, failsParty, moqParty } from "./hostile/webtransport.node.ts";

for (const party of [denoParty, failsParty, moqParty]) attackSuite(party);
