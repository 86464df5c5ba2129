// A node as far as a command sees it: answers of the HTTP API that a test writes down.

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { entriesOf } from "../../src/wire/frame.ts";

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Payloads of the frames in the body. */
  readonly lines: readonly string[];
}

interface Told {
  readonly status: number;
  /** Bytes as they are, anything else as JSON. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What is answered; `lost`: the connection goes without a word. */
export type Answer = Told | "lost";

export class FakeNode {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  #answer: (asked: Asked, index: number) => Answer;

  private constructor(server: Server, answer: (asked: Asked, index: number) => Answer) {
    this.#server = server;
    this.#answer = answer;
  }

  static async start(answer: (asked: Asked, index: number) => Answer): Promise<FakeNode> {
    const server = createServer();
    const node = new FakeNode(server, answer);
    server.on("request", (request, response) => {
      void bodyOf(request).then((body) => {
        const asked = askedOf(request, body);
        const told = node.#answer(asked, node.asked.push(asked) - 1);
        if (told === "lost") return request.socket.destroy();
        const isBytes = told.body instanceof Uint8Array;
        response.writeHead(told.status, { "content-type": "application/json", ...told.headers });
        response.end(isBytes ? told.body : JSON.stringify(told.body));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return node;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

export function problem(status: number, code: string, extra: Record<string, unknown> = {}): Answer {
  const document = { title: code, code, retryable: status === 503, sideEffects: "none", ...extra };
  return { status, body: document };
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk as Uint8Array);
  return new Uint8Array(Buffer.concat(chunks));
}

function askedOf({ method = "", url = "", headers }: IncomingMessage, body: Uint8Array): Asked {
  const isFrames = headers["content-type"] === "application/vnd.millrace.frames";
  const lines = isFrames ? [...entriesOf(body)].map(({ payload }) => new TextDecoder().decode(payload)) : [];
  return { method, path: url, headers: headers as Record<string, string>, lines };
}
