// Appends that a node passes on to the leader because the client asked for it, and the leader's answers.

import type { Crc32 } from "../core/environment.ts";
import { concatBytes, utf8, viewOf } from "../lib/bytes.ts";
import { messageOf } from "../lib/message_of.ts";
import type { Codec } from "../peer/command.ts";
import { Command, jsonCodec } from "../peer/command.ts";
import type { Mesh } from "../peer/mesh.ts";
import { isOfPeer } from "../peer/peer_error.ts";
import { forwardedAnswer, type ForwardedHead, forwardedHead, outcome } from "../schema/node_commands.ts";
import { PEER_PAYLOAD_BYTES_MAX } from "../wire/peer_messages.ts";
import { checkAppend, sealFrames } from "../wire/stamp_run.ts";
import type { AppendAnswer, AppendRequest, Channel } from "./channel.ts";
import { isUnsent, type Outcome, outcomeOf, valueOf } from "./outcome.ts";
import { Refusal } from "./refusal.ts";

interface Forwarded {
  readonly head: ForwardedHead;
  readonly frames: Uint8Array;
}

/** Length of the head (u32, little-endian), the head as JSON, the frames. */
const codec: Codec<Forwarded> = {
  encode({ head, frames }) {
    const text = utf8(JSON.stringify(forwardedHead.parse(head)));
    const length = new Uint8Array(4);
    viewOf(length).setUint32(0, text.byteLength, true);
    return concatBytes([length, text, frames]);
  },
  decode(bytes) {
    const headEnd = 4 + viewOf(bytes).getUint32(0, true);
    if (headEnd > bytes.byteLength) throw new RangeError("the head of an append that is passed on is cut off");
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(4, headEnd));
    // A copy: the frames are stamped where they are.
    return { head: forwardedHead.parse(JSON.parse(text)), frames: bytes.slice(headEnd) };
  },
};

const command = new Command<Forwarded, Outcome<AppendAnswer>>("millrace/append", {
  value: codec,
  reply: jsonCodec(outcome(forwardedAnswer)),
});

/** Bytes of frames that fit into one message beside the head. */
const FRAMES_BYTES_MAX = PEER_PAYLOAD_BYTES_MAX - 4096;
/** Time beyond that of the append itself, for the way there and back. */
const WAY_MS = 1_000;
/** How often an append is passed on: a leader may just have changed. */
const HOPS_MAX = 2;

export interface ForwardingOptions {
  readonly mesh: Mesh;
  readonly find: (incarnation: string) => Channel | undefined;
  readonly crc32: Crc32;
  readonly timeoutMs: number;
}

/** Where an append goes: a channel of this node, or one that is elsewhere. */
export interface Destination {
  readonly name: string;
  readonly incarnation: string;
  /** Nodes that may lead it, the likeliest first. */
  readonly candidates: readonly string[];
}

export class Forwarding {
  readonly #options: ForwardingOptions;

  constructor(options: ForwardingOptions) {
    this.#options = options;
    options.mesh.handle(command, ({ head, frames }) => outcomeOf(() => this.#append(head, frames)));
  }

  /** The leader's answer to `request`. @throws Refusal, also the leader's own. */
  async forward({ name, incarnation, candidates }: Destination, request: AppendRequest): Promise<AppendAnswer> {
    const { frames, ack, isSynced = true, expectNextSeq, producer } = request;
    if (frames.byteLength > FRAMES_BYTES_MAX) {
      const found = `${frames.byteLength} bytes of frames`;
      throw new Refusal("forward-too-large", `${found}, allowed are ${FRAMES_BYTES_MAX}: append on the leader itself`);
    }
    const place = { ...(expectNextSeq === undefined ? {} : { expectNextSeq }), ...(producer ? { producer } : {}) };
    sealFrames(frames, this.#options.crc32);
    const message = command.of({ head: { incarnation, ack, isSynced, ...place }, frames });
    const tried = new Set<string>();
    const left = [...candidates];
    for (let hop = 0; hop < HOPS_MAX + candidates.length; hop++) {
      const id = left.shift();
      if (id === undefined) break;
      if (tried.has(id)) continue;
      tried.add(id);
      try {
        return valueOf(await this.#options.mesh.request(id, message, { timeoutMs: this.#options.timeoutMs + WAY_MS }));
      } catch (error) {
        const next = this.#nextOf(error, name);
        if (next !== undefined) left.unshift(next);
      }
    }
    throw new Refusal("no-leader", `no leader of channel ${name} could be reached`);
  }

  /** Who is to be asked after a failure that certainly did nothing. @throws Refusal where that is not so. */
  #nextOf(error: unknown, name: string): string | undefined {
    if (error instanceof Refusal) {
      if (error.code === "no-leader" || error.code === "unknown-channel") return undefined;
      if (error.code !== "not-leader") throw error;
      return typeof error.details["leader"] === "string" ? error.details["leader"] : undefined;
    }
    if (!isOfPeer(error)) throw error;
    if (isUnsent(error)) return undefined;
    const detail = `the append was passed on to the leader of ${name}, and no answer came: ${messageOf(error)}`;
    throw new Refusal("append-unknown", detail, {}, { cause: error });
  }

  async #append({ incarnation, ...asked }: ForwardedHead, frames: Uint8Array) {
    const channel = this.#options.find(incarnation);
    if (!channel) throw new Refusal("unknown-channel", `channel ${incarnation} is not on this node`);
    checkAppend(frames, channel.config.limits.entryBytesMax, this.#options.crc32);
    return await channel.append({ frames, ...asked });
  }
}
