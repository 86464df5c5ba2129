// "Which entries follow this place?": what a node asks whoever leads a channel for the entries that it cannot read any more.
// Only what is committed is told, and only to members of the channel.

import type { Crc32 } from "../core/environment.ts";
import { concatBytes, utf8 } from "../lib/bytes.ts";
import { Turns } from "../lib/turns.ts";
import type { Stretch } from "../log/log_store.ts";
import { StoreError } from "../log/store_error.ts";
import { type Codec, Command, jsonCodec } from "../peer/command.ts";
import type { Mesh } from "../peer/mesh.ts";
import { type EntriesQuestion, entriesQuestion } from "../schema/node_commands.ts";
import { fetchStretch, readPiece, StretchRefused } from "../stream/stretch.ts";
import type { Channel } from "./channel.ts";

type Answer = { readonly kind: "piece"; readonly bytes: Uint8Array } | {
  readonly kind: "refused";
  readonly reason: string;
};

const PIECE = 0;
const REFUSED = 1;

/** One byte that tells which, then the frames or the reason. */
const answerCodec: Codec<Answer> = {
  encode: (answer) =>
    answer.kind === "piece"
      ? concatBytes([Uint8Array.of(PIECE), answer.bytes])
      : concatBytes([Uint8Array.of(REFUSED), utf8(answer.reason)]),
  decode(bytes) {
    const rest = bytes.subarray(1);
    if (bytes[0] === PIECE) return { kind: "piece", bytes: rest };
    if (bytes[0] === REFUSED) return { kind: "refused", reason: new TextDecoder().decode(rest) };
    throw new RangeError(`an answer about entries begins with ${bytes[0]}, allowed are ${PIECE} and ${REFUSED}`);
  },
};

const command = new Command<EntriesQuestion, Answer>("millrace/entries", {
  value: jsonCodec(entriesQuestion),
  reply: answerCodec,
});

const ANSWER_MS_MAX = 5_000;
/** Questions that are answered at a time: each reads up to a whole entry. The mesh bounds how many wait. */
const ANSWERS_MAX = 4;

export function handleEntriesQuestions(mesh: Mesh, find: (incarnation: string) => Channel | undefined): void {
  const turns = new Turns(ANSWERS_MAX);
  mesh.handle(command, async ({ incarnation, ...request }, { from }): Promise<Answer> => {
    const channel = find(incarnation);
    const reason = refusalOf(channel, from);
    if (reason !== undefined) return { kind: "refused", reason };
    const { log, commit } = channel!;
    try {
      return { kind: "piece", bytes: await turns.take(() => readPiece({ log, commit: commit.value }, request)) };
    } catch (error) {
      if (!(error instanceof StretchRefused || error instanceof StoreError)) throw error;
      return { kind: "refused", reason: error.message };
    }
  });
}

/** Why `from` is not told of entries of `channel` here, if so. */
function refusalOf(channel: Channel | undefined, from: string): string | undefined {
  const { voters = [], observers = [] } = channel?.member?.membership ?? {};
  if (![...voters, ...observers].includes(from)) return `node ${from} is no member of the channel here`;
  return channel!.isLeading && !channel!.isBehind ? undefined : "this node does not lead the channel";
}

export interface EntriesSource {
  readonly mesh: Pick<Mesh, "request">;
  readonly crc32: Crc32;
  /** Who leads the channel. */
  readonly leader: string;
  readonly incarnation: string;
  readonly signal: AbortSignal;
}

/** The frames of `stretch`, from the leader. Rejects with StretchRefused, PeerError, or as `fetchStretch`. */
export async function fetchEntries(
  stretch: Stretch,
  { mesh, crc32, leader, incarnation, signal }: EntriesSource,
): Promise<Uint8Array> {
  const options = { timeoutMs: ANSWER_MS_MAX, signal };
  return await fetchStretch(stretch, {
    crc32,
    ask: async (request) => {
      const answer = await mesh.request(leader, command.of({ incarnation, ...request }), options);
      if (answer.kind === "refused") throw new StretchRefused(`node ${leader} gives no entries: ${answer.reason}`);
      return answer.bytes;
    },
  });
}
