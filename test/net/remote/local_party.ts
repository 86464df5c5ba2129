import { CROSS_TRANSPORTS } from "./cross_transports.ts";
import type { Party } from "./party.ts";

/** The process that runs the test. */
export const localParty: Party = {
  listen: (name, identity, options) => CROSS_TRANSPORTS[name].listen(identity, options),
  connect: (name, identity, options) => CROSS_TRANSPORTS[name].connect(identity, options),
};
