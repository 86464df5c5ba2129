// The library: a node inside a program of one's own.

import { httpHandler } from "../routes/app.ts";
import { refuseForeign } from "../routes/guard.ts";
import { type NodeConfigInput, parseConfig } from "./schema/config.ts";
import { MillraceNode } from "./server/node.ts";

export type { Heard } from "./lib/broadcast.ts";
export type { Bearer, Issued } from "./peer/authority.ts";
export { bytesCodec, Command, jsonCodec } from "./peer/command.ts";
export type { Checker, Codec, Handler, MessageContext, OutgoingMessage } from "./peer/command.ts";
export type { Mesh, PeerStatus } from "./peer/mesh.ts";
export type { RequestOptions } from "./peer/messenger.ts";
export { PeerError } from "./peer/peer_error.ts";
export type { PeerEvent } from "./peer/peer_event.ts";
export type { NodeStatus, PeerList, ReloadAnswer } from "./schema/api.ts";
export type { NodeConfigInput } from "./schema/config.ts";
export { createAuthority, createCertificate } from "./server/cluster_certificates.ts";
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
