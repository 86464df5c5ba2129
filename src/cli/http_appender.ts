// Appends over HTTP: one request for each call.

import type { AppendAnswer } from "../server/channel.ts";
import { environment } from "../server/environment.node.ts";
import { encodeAppend } from "../wire/stamp_run.ts";
import { type Appender, type AppendOptions, type Placed, RunProducer } from "./appender.ts";
import { channelPath, HttpClient } from "./http_client.ts";

export class HttpAppender implements Appender {
  readonly #client: HttpClient;
  readonly #path: string;
  readonly #producer = new RunProducer();

  constructor(channel: string, options: AppendOptions) {
    this.#client = new HttpClient(options);
    this.#path = channelPath(channel, `/entries?ack=${options.ack}`);
  }

  async append(lines: readonly Uint8Array[]): Promise<Placed> {
    const body = encodeAppend(lines, environment.crc32);
    const { id, epoch, seq } = this.#producer.triple;
    const headers = {
      "content-type": "application/vnd.millrace.frames",
      "producer-id": id,
      "producer-epoch": String(epoch),
      "producer-seq": String(seq),
    };
    const request = { method: "POST", headers, body, isRepeatable: true };
    const answer = await this.#client.json<AppendAnswer>(this.#path, request);
    this.#producer.done();
    return answer;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
