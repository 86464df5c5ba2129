// Taking a request's body as a whole, within a bound.

import { concatBytes } from "../src/lib/bytes.ts";
import { messageOf } from "../src/lib/message_of.ts";
import { Fault } from "./problem.ts";

/** A body declared to be larger is put together as it comes; the runtimes keep its parts until all are there, and then copy them. */
const GATHERED_BYTES_MIN = 64 << 10;

/**
 * All bytes of the body, in memory that nobody else holds. @throws Fault `body-too-large` as soon as that is known, `bad-request`
 * where the rest does not come: the client went away.
 */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  try {
    return await wholeBody(request, bytesMax);
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("bad-request", `the body did not come whole: ${messageOf(error)}`);
  }
}

async function wholeBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (declared > bytesMax) throw tooLarge(declared, bytesMax);
  if (!request.body) return new Uint8Array(0);
  if (declared > GATHERED_BYTES_MIN) return await gathered(request.body, declared);
  if (declared > 0) return new Uint8Array(await request.arrayBuffer());
  const parts: Uint8Array[] = [];
  let byteLength = 0;
  for await (const part of request.body) {
    byteLength += part.byteLength;
    if (byteLength > bytesMax) throw tooLarge(byteLength, bytesMax);
    parts.push(part);
  }
  return concatBytes(parts);
}

/** The bytes of a body that has `byteLength` of them at the most. What is declared and does not come is not resident either. */
async function gathered(body: ReadableStream<Uint8Array>, byteLength: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength);
  let at = 0;
  for await (const part of body) {
    if (at + part.byteLength > byteLength) throw tooLarge(at + part.byteLength, byteLength);
    bytes.set(part, at);
    at += part.byteLength;
  }
  return at === byteLength ? bytes : bytes.subarray(0, at);
}

/**
 * `request` as the JSON validator understands it: whatever the case of its media type, and without one where there is no body.
 * @throws Fault `unsupported-media-type` where a body is not said to be JSON; `body-too-large`.
 */
export async function jsonRequest(request: Request, bytesMax: number): Promise<Request> {
  const body = await readBody(request, bytesMax);
  const type = mediaType(request);
  const isEmpty = body.byteLength === 0;
  if (type !== "application/json" && !(type === "" && isEmpty)) {
    throw new Fault("unsupported-media-type", `content type is ${JSON.stringify(type)}, allowed is application/json`);
  }
  const headers = new Headers(request.headers);
  for (const name of ["content-length", "transfer-encoding", "content-type"]) headers.delete(name);
  if (isEmpty) return new Request(request.url, { method: request.method, headers });
  headers.set("content-type", "application/json");
  return new Request(request.url, { method: request.method, headers, body: new Uint8Array(body) });
}

/** The media type of a request, without its parameters. */
export function mediaType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
}

function tooLarge(found: number, bytesMax: number): Fault {
  return new Fault("body-too-large", `the body has ${found} bytes or more, allowed are ${bytesMax}`);
}
