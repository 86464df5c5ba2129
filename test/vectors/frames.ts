// The golden frames of frames.json with numbers and bytes in place of their text.

import type { LogTail } from "../../src/core/position.ts";
import type { Entry, EntryType } from "../../src/wire/frame.ts";
import type { ProducerMark } from "../../src/wire/producer_extension.ts";
import vectors from "./frames.json" with { type: "json" };

export interface FrameVector {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly entry: Entry;
  readonly crc32: number;
}

/** Consecutive frames: `ends` are the offsets after each, `chains` the chain checksum after each. */
export interface RunVector {
  readonly name: string;
  readonly after: LogTail;
  readonly bytes: Uint8Array;
  readonly ends: readonly number[];
  readonly chains: readonly number[];
  readonly epochStarts: readonly { readonly epoch: number; readonly seq: number }[];
  readonly tail: LogTail;
}

export const FRAMES: readonly FrameVector[] = vectors.frames.map(frameOf);

/** Frames with a producer's extension: `entry` is what an application sees, `producer` what the extension says. */
export interface ProducerVector extends FrameVector {
  readonly producer: ProducerMark;
}

export const PRODUCER_FRAMES: readonly ProducerVector[] = vectors.producerFrames.map((vector) => ({
  ...frameOf(vector),
  producer: {
    triple: { id: vector.producer.id, epoch: vector.producer.epoch, seq: vector.producer.seq },
    count: vector.producer.count,
  },
}));

export const RUNS: readonly RunVector[] = vectors.runs.map((run) => ({
  ...run,
  bytes: bytesOf(run.hex),
  chains: run.chains.map((chain) => parseInt(chain, 16)),
  after: tailOf(run.after),
  tail: tailOf(run.tail),
}));

function frameOf({ name, hex, entry, crc32 }: (typeof vectors.frames)[number]): FrameVector {
  const { payloadHex, type, ...numbers } = entry;
  return {
    name,
    bytes: bytesOf(hex),
    entry: { ...numbers, type: type as EntryType, payload: bytesOf(payloadHex) },
    crc32: parseInt(crc32, 16),
  };
}

function tailOf(tail: { nextSeq: number; epoch: number; timestamp: number; chain: string }): LogTail {
  return { ...tail, chain: parseInt(tail.chain, 16) };
}

/** The bytes that `hex` spells. */
export function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
