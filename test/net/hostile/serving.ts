// What the listener under attack does with the sessions of attackers.

import { Lane, type Session } from "../../../src/net/session.ts";
import { limitsConfig } from "../../../src/schema/config.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { Sessions } from "../../../src/server/sessions.ts";
import { SIEGE_LIMITS } from "./siege.ts";

/**
 * `greet`: serves as a node does, without any channel. `ignore`: looks at nothing that comes. `flood`: writes to the log lane without
 * end, as fast as the session lets it.
 */
export type Serving = "greet" | "ignore" | "flood";

const CHUNK_BYTES = 32 << 10;

export function serving(how: Serving): (session: Session) => void {
  if (how === "flood") return flood;
  if (how === "ignore") return () => {};
  const sessions = new Sessions({
    nodeId: "besieged",
    environment,
    limits: limitsConfig.parse({ handshakeGraceMs: SIEGE_LIMITS.handshakeGraceMs }),
    channel: () => undefined,
    isPassing: () => false,
  });
  return (session) => sessions.accept(session);
}

function flood(session: Session): void {
  const writer = session.lane(Lane.log).writable.getWriter();
  writer.closed.catch(() => {});
  const chunk = new Uint8Array(CHUNK_BYTES);
  const run = async (): Promise<void> => {
    while (true) await writer.write(chunk);
  };
  // It ends with the session.
  run().catch(() => {});
}
