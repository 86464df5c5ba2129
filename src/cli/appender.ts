// Appends from the command line, each exactly once: every request carries this run's own producer triple, so that it can be
// sent again, to any leader, when nobody knows what has become of it.

import { ulid } from "ulid";
import type { AppendAnswer } from "../server/channel.ts";
import { environment } from "../server/environment.node.ts";
import { encodeAppend } from "../wire/stamp_run.ts";
import { channelPath, type ClientOptions, HttpClient } from "./http_client.ts";

export interface AppendOptions extends ClientOptions {
  readonly ack: string;
}

export class Appender {
  readonly #client: HttpClient;
  readonly #path: string;
  readonly #producerId = ulid(environment.clock.now(), () => environment.random.next());
  #nextSeq = 0;

  constructor(channel: string, options: AppendOptions) {
    this.#client = new HttpClient(options);
    this.#path = channelPath(channel, `/entries?ack=${options.ack}`);
  }

  /** Appends `lines` as an entry each. To be awaited before the next call: the order of requests is that of the entries. */
  async append(lines: readonly Uint8Array[]): Promise<AppendAnswer> {
    const body = encodeAppend(lines, environment.crc32);
    const headers = {
      "content-type": "application/vnd.millrace.frames",
      "producer-id": this.#producerId,
      "producer-epoch": "0",
      "producer-seq": String(this.#nextSeq),
    };
    const request = { method: "POST", headers, body, isRepeatable: true };
    const answer = await this.#client.json<AppendAnswer>(this.#path, request);
    this.#nextSeq++;
    return answer;
  }
}
