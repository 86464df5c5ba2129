// Appends from the command line, each exactly once: every request carries this run's own producer triple, so that it can be
// sent again, to any leader, when nobody knows what has become of it.

import { ulid } from "ulid";
import type { AppendAnswer } from "../server/channel.ts";
import { environment } from "../server/environment.node.ts";
import { encodeAppend } from "../wire/stamp_run.ts";
import { channelPath, type ClientOptions, HttpClient, ProblemError } from "./http_client.ts";

export interface AppendOptions extends ClientOptions {
  readonly ack: string;
}

export class Appender {
  readonly #client: HttpClient;
  readonly #path: string;
  readonly #producerId = ulid(environment.clock.now(), () => environment.random.next());
  #nextSeq = 0;
  #isProducer = true;

  constructor(channel: string, options: AppendOptions) {
    this.#client = new HttpClient(options);
    this.#path = channelPath(channel, `/entries?ack=${options.ack}`);
  }

  /** Appends `lines` as an entry each. To be awaited before the next call: the order of requests is that of the entries. */
  async append(lines: readonly Uint8Array[]): Promise<AppendAnswer> {
    const body = encodeAppend(lines, environment.crc32);
    try {
      return await this.#send(body);
    } catch (error) {
      // A node that does not remember producers says so before it does anything.
      const isRefused = this.#isProducer && error instanceof ProblemError && error.code === "not-supported";
      if (!isRefused) throw error;
      this.#isProducer = false;
      return await this.#send(body);
    }
  }

  async #send(body: Uint8Array): Promise<AppendAnswer> {
    const headers: Record<string, string> = { "content-type": "application/vnd.millrace.frames" };
    if (this.#isProducer) {
      headers["producer-id"] = this.#producerId;
      headers["producer-epoch"] = "0";
      headers["producer-seq"] = String(this.#nextSeq);
    }
    const request = { method: "POST", headers, body, isRepeatable: this.#isProducer };
    const answer = await this.#client.json<AppendAnswer>(this.#path, request);
    this.#nextSeq++;
    return answer;
  }
}
