// What a scenario prints of messages and events: one short line each.

import type { LogEnd, MemberEvent, MemberMessage, Membership, Role } from "../../src/core/replica_set.ts";

/** Random numbers of requests, by their order in the scenario. */
export class Numbers {
  readonly #known = new Map<number, number>();

  of(random: number): string {
    if (!this.#known.has(random)) this.#known.set(random, this.#known.size + 1);
    return `#${this.#known.get(random)}`;
  }
}

const endText = ({ seq, epoch }: LogEnd) => seq === 0 ? "nothing" : `${seq} of epoch ${epoch}`;

export function membersText({ voters, observers }: Membership): string {
  return `${voters.join(" ")}${observers.length > 0 ? `, observers ${observers.join(" ")}` : ""}`;
}

/** `type` for people, as in drops. */
export function messageName(type: MemberMessage["type"]): string {
  return type.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

export function messageText(message: MemberMessage, numbers: Numbers): string {
  const head = `${messageName(message.type)}, epoch ${message.epoch}`;
  switch (message.type) {
    case "voteRequest": {
      const kind = `${message.isPreVote ? ", pre-vote" : ""}${message.isTransfer ? ", transfer" : ""}`;
      return `${head}${kind}${message.isDoubtful ? ", doubtful" : ""}, has ${endText(message.end)}`;
    }
    case "voteReply": {
      const kind = message.isPreVote ? ", pre-vote" : "";
      return `${head}${kind}, ${message.isGranted ? "granted" : "refused"}${message.isDoubtful ? ", doubtful" : ""}`;
    }
    case "memberState":
      return `${head}, ${message.role}${message.leader ? ` under ${message.leader}` : ""}, has ${
        endText(message.end)
      }, commit ${message.commit}`;
    case "feedRequest":
      return `${head}, ${numbers.of(message.requestId)} from ${message.from} after epoch ${message.epochBefore}`;
    case "feedNack":
      return `${head}, ${
        numbers.of(message.requestId)
      } ${message.code}, seq ${message.seq} of epoch ${message.epochAt}`;
    case "entries":
      return `${head}, ${numbers.of(message.requestId)} ${framesText(message)}, commit ${message.commit}`;
    case "feedAck":
      return `${head}, ${
        numbers.of(message.requestId)
      } written ${message.writtenSeq}, synced ${message.syncedSeq}, commit ${message.commit}`;
    case "succeed":
      return head;
  }
}

function framesText({ from, frames }: { readonly from: number; readonly frames: Uint8Array }): string {
  const { length } = readFrames(frames);
  return length === 0 ? `none after ${from - 1}` : spanText(from, from + length - 1);
}

/** Frames of the scenarios are the entries as JSON. */
export function readFrames<Entry>(frames: Uint8Array): Entry[] {
  return frames.byteLength === 0 ? [] : JSON.parse(new TextDecoder().decode(frames)) as Entry[];
}

export function writeFrames(entries: readonly unknown[]): Uint8Array {
  return new TextEncoder().encode(entries.length === 0 ? "" : JSON.stringify(entries));
}

export function spanText(first: number, last: number): string {
  return first === last ? `${first}` : `${first}..${last}`;
}

export function roleText({ role, epoch, leader }: { role: Role; epoch: number; leader: string | undefined }): string {
  const follows = role === "replica" && leader ? ` of ${leader}` : "";
  return `${role}${follows}, epoch ${epoch}`;
}

/** `undefined` for what the line of a role tells already. */
export function eventText(event: MemberEvent): string | undefined {
  switch (event.event) {
    case "electionStarted":
      return event.isPreVote ? `would stand for epoch ${event.epoch}` : `stands for epoch ${event.epoch}`;
    case "leaderChanged":
      return undefined;
    case "steppedDown":
      return `steps down in epoch ${event.epoch}: ${event.reason}`;
    case "truncated":
      return `cuts ${spanText(event.fromSeq, event.toSeq)}`;
    case "membershipChanged":
      return `members ${membersText(event.membership)} (entry ${event.seq})`;
    case "doubtful":
      return `is doubtful: ${event.reason}`;
    case "sound":
      return `is sound, commit ${event.commit}`;
  }
}
