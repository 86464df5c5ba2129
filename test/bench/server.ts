// A node under measurement, in a process of its own, as `serve` starts it.

import { environment } from "../../src/server/environment.node.ts";
import { encodeAppend } from "../../src/wire/stamp_run.ts";
import type { Child, RuntimeName } from "./child.ts";
import type { Workspace } from "./workspace.ts";

export const FRAMES_TYPE = "application/vnd.millrace.frames";
const CHANNEL = "bench";
/** Requests under way while a channel is being filled. */
const FILLERS = 2;
/** As the command line appends. */
const FILL_BODY_BYTES = 1 << 20;

export interface LogState {
  readonly nextSeq: number;
  readonly commit: number;
  readonly bytes: number;
  readonly chain: string;
}

export class Server {
  readonly child: Child;
  readonly url: string;
  /** The data directory. */
  readonly data: string;
  readonly channel = CHANNEL;

  private constructor(child: Child, url: string, data: string) {
    this.child = child;
    this.url = url;
    this.data = data;
  }

  /** Starts a node on `runtime` with one empty channel. */
  static async start(workspace: Workspace, runtime: RuntimeName): Promise<Server> {
    const data = workspace.path();
    const args = ["serve", "--json", "--port", 0, "--data", data];
    const child = workspace.start(runtime, "src/cli/main.ts", args);
    const { http } = await child.next("listening");
    const server = new Server(child, String(http), data);
    await fetch(server.#at(""), { method: "PUT", headers: { "content-type": "application/json" }, body: "{}" });
    return server;
  }

  async state(): Promise<LogState> {
    return await (await fetch(this.#at(""))).json() as LogState;
  }

  /** Appends `body`, frames without a place. @throws where it is refused. */
  async append(body: Uint8Array<ArrayBuffer>): Promise<void> {
    const response = await fetch(this.#at("/entries?ack=quorum"), {
      method: "POST",
      headers: { "content-type": FRAMES_TYPE },
      body,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`an append was answered with ${response.status}: ${text}`);
  }

  /** Appends bodies until the channel has grown by `bytes`; answers what it is then. */
  async fill(bytes: number, body: Uint8Array<ArrayBuffer>): Promise<LogState> {
    let left = bytes;
    const filler = async () => {
      while (left > 0) {
        left -= body.byteLength;
        await this.append(body);
      }
    };
    await Promise.all(Array.from({ length: FILLERS }, filler));
    return await this.state();
  }

  #at(rest: string): string {
    return `${this.url}/v1/channels/${CHANNEL}${rest}`;
  }
}

/** A body of about 1 MiB with entries of the given payload sizes, in turn; their content is random. */
export function makeBody(payloadSizes: readonly number[]): Uint8Array<ArrayBuffer> {
  const payloads: Uint8Array[] = [];
  let byteLength = 0;
  for (let index = 0; byteLength < FILL_BODY_BYTES; index++) {
    const payload = environment.random.bytes(payloadSizes[index % payloadSizes.length]!);
    payloads.push(payload);
    byteLength += payload.byteLength;
  }
  return encodeAppend(payloads, environment.crc32);
}
