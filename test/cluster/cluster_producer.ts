// A client that appends to a cluster through any of its nodes, one request after the other, follows the leader, and writes
// down what it was told.

import { sleep } from "../../src/core/environment.ts";
import { environment } from "../../src/server/environment.node.ts";
import { thisRuntime } from "../process/program.ts";
import { NDJSON } from "../routes/api.ts";

/**
 * Deno's `fetch` sends a POST a second time by itself where a connection that was kept is reset under it, and tells only of that
 * second time, also that nobody was there (Deno 2.9.6).
 */
export const FETCH_REPEATS = thisRuntime() === "deno";

/** An append without an answer after this time has an unknown outcome. */
const ANSWER_MS_MAX = 3_000;
/** Between two tries of one append. */
const PAUSE_MS = 20;
/** Lines of one append, in turn. */
const LINES = [1, 2, 1, 4] as const;
const LINE_BYTES = 200;

export interface ProducerOptions {
  readonly name: string;
  readonly channel: string;
  /** Addresses of nodes; the first one is asked first. */
  readonly urls: readonly string[];
  /** Each append carries a triple and is repeated until it is acknowledged; without, what became unknown is left alone. */
  readonly hasTriples: boolean;
}

type Outcome =
  | { readonly kind: "acknowledged"; readonly firstSeq: number; readonly lastSeq: number }
  /** Nothing has happened, says the node, or nobody was there. */
  | { readonly kind: "refused"; readonly leaderUrl?: string }
  | { readonly kind: "unknown" };

export class ClusterProducer {
  readonly name: string;
  readonly hasTriples: boolean;
  /** Payload of each acknowledged entry, by seq. */
  readonly acknowledged = new Map<number, string>();
  /** Payloads that may be in the log although nobody said so. */
  readonly unknown = new Set<string>();
  acknowledgedAppends = 0;
  /** Tries whose outcome nobody told. */
  cut = 0;
  readonly #channel: string;
  readonly #urls: readonly string[];
  readonly #done: Promise<void>;
  #url: string;
  #isStopped = false;

  constructor({ name, channel, urls, hasTriples }: ProducerOptions) {
    this.name = name;
    this.hasTriples = hasTriples;
    this.#channel = channel;
    this.#urls = urls;
    this.#url = urls[0]!;
    this.#done = this.#run();
    // Whoever stops it is told.
    this.#done.catch(() => {});
  }

  /** Finishes the append under way. @throws where a node answered what no node may answer. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#isStopped; turn++) {
      const lines = Array.from({ length: LINES[turn % LINES.length]! }, (_, index) => this.#line(turn, index));
      await this.#append(lines, turn);
    }
  }

  /** A payload that is never sent by another append; in order of their numbers, as they must be in the log. */
  #line(turn: number, index: number): string {
    return `${this.name} ${turn * LINES.length + index} `.padEnd(LINE_BYTES, "#");
  }

  async #append(lines: readonly string[], turn: number): Promise<void> {
    for (;;) {
      const outcome = await this.#attempt(lines, turn);
      if (outcome.kind === "acknowledged") {
        const { firstSeq, lastSeq } = outcome;
        if (lastSeq - firstSeq + 1 !== lines.length) {
          throw new Error(`${lines.length} lines are ${firstSeq}..${lastSeq}`);
        }
        for (const [index, line] of lines.entries()) this.acknowledged.set(firstSeq + index, line);
        this.acknowledgedAppends++;
        return;
      }
      if (outcome.kind === "unknown") {
        this.cut++;
        this.#turnAway();
        if (!this.hasTriples) return void lines.forEach((line) => this.unknown.add(line));
      } else if (outcome.leaderUrl !== undefined && outcome.leaderUrl !== this.#url) {
        this.#url = outcome.leaderUrl;
        continue;
      } else this.#turnAway();
      await sleep(environment.clock, PAUSE_MS);
    }
  }

  #turnAway(): void {
    this.#url = this.#urls[(this.#urls.indexOf(this.#url) + 1) % this.#urls.length]!;
  }

  async #attempt(lines: readonly string[], turn: number): Promise<Outcome> {
    const triple = { "producer-id": this.name, "producer-epoch": "0", "producer-seq": String(turn) };
    const headers = { "content-type": NDJSON, ...(this.hasTriples ? triple : {}) };
    const url = `${this.#url}/v1/channels/${encodeURIComponent(this.#channel)}/entries`;
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    try {
      const response = await fetch(url, { method: "POST", headers, body: lines.join("\n"), signal });
      return outcomeOf(response, await response.json());
    } catch (error) {
      if (error instanceof WrongAnswerError) throw error;
      return { kind: isUnsent(error) ? "refused" : "unknown" };
    }
  }
}

class WrongAnswerError extends Error {
  override name = "WrongAnswerError";
}

function outcomeOf({ status }: Response, body: Readonly<Record<string, unknown>>): Outcome {
  if (status === 200) {
    return { kind: "acknowledged", firstSeq: Number(body["firstSeq"]), lastSeq: Number(body["lastSeq"]) };
  }
  if (body["sideEffects"] === "possible") return { kind: "unknown" };
  const { leaderUrl } = body;
  if (status === 421 && typeof leaderUrl === "string") return { kind: "refused", leaderUrl };
  // What is wrong with the request stays wrong.
  if (status < 500 && status !== 421) throw new WrongAnswerError(`append answered ${status}: ${JSON.stringify(body)}`);
  if (status === 501) throw new WrongAnswerError(`append answered ${status}: ${JSON.stringify(body)}`);
  return { kind: "refused" };
}

/** Nobody listened: each runtime says it in its own words. */
function isUnsent(error: unknown): boolean {
  if (FETCH_REPEATS) return false;
  for (let each = error; each instanceof Error; each = each.cause) {
    if (
      /ECONNREFUSED|ConnectionRefused|connection refused/i.test(`${(each as { code?: unknown }).code} ${each.message}`)
    ) {
      return true;
    }
  }
  return false;
}
