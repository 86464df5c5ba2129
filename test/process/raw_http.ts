// HTTP as bytes on a socket, for requests that `fetch` will not make: another Host, an Origin, chunks, half a body.

import { connect } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

export interface RawRequest {
  readonly port: number;
  /** Request line, without the version. */
  readonly line: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is after the head. */
  readonly body?: readonly Uint8Array[];
}

/** Sends a request on a connection of its own and reads what comes until it ends or `headOnly` is there. */
export function rawRequest(request: RawRequest, { headOnly = false } = {}): Promise<RawAnswer> {
  const { port, line, headers = {}, body = [] } = request;
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const parts: Uint8Array[] = [];
    const finish = () => {
      socket.destroy();
      try {
        resolve(parseAnswer(Buffer.concat(parts).toString("latin1")));
      } catch (error) {
        reject(error);
      }
    };
    socket.on("data", (part: Uint8Array) => {
      parts.push(part);
      if (headOnly && Buffer.concat(parts).includes("\r\n\r\n")) finish();
    });
    socket.on("end", finish);
    // A server that refuses a body may reset the connection once it has answered.
    socket.on("error", (error: Error) => parts.length > 0 ? finish() : reject(error));
    const all = { host: `127.0.0.1:${port}`, connection: "close", ...headers };
    const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`${line} HTTP/1.1\r\n${head}\r\n`);
    for (const part of body) socket.write(part);
  });
}

/** One chunk of a chunked body. */
export function chunk(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

function parseAnswer(text: string): RawAnswer {
  const end = text.indexOf("\r\n\r\n");
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1]);
  if (end < 0 || Number.isNaN(status)) throw new Error(`not an HTTP answer: ${JSON.stringify(text.slice(0, 200))}`);
  const headers = new Headers();
  for (const line of lines) headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim());
  return { status, headers, body: bodyOf(text.slice(end + 4), headers) };
}

function bodyOf(rest: string, headers: Headers): string {
  if (headers.get("transfer-encoding") !== "chunked") return rest;
  let body = "";
  for (let at = 0;;) {
    const lineEnd = rest.indexOf("\r\n", at);
    const size = Number.parseInt(rest.slice(at, lineEnd), 16);
    if (!(size > 0)) return body;
    body += rest.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}
