// The library: a node inside a program of one's own.

import { httpHandler } from "../routes/app.ts";
import { refuseForeign } from "../routes/guard.ts";
import { type NodeConfigInput, parseConfig } from "./schema/config.ts";
import { MillraceNode } from "./server/node.ts";

export type { NodeConfigInput } from "./schema/config.ts";
export type { MillraceNode } from "./server/node.ts";
export { Refusal } from "./server/refusal.ts";

/** A node, not started yet: `start()` it, `close()` it. @throws RangeError naming each field that is wrong. */
export function createNode(options: NodeConfigInput = {}): MillraceNode {
  return new MillraceNode({
    config: parseConfig(options),
    http: httpHandler,
    acceptSession: (node, request) => refuseForeign(request, node.config),
  });
}
