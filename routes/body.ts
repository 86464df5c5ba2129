// Taking a request's body as a whole, within a bound.

import { concatBytes } from "../src/lib/bytes.ts";
import { Fault } from "./problem.ts";

/** All bytes of the body, in memory that nobody else holds. @throws Fault `body-too-large` as soon as that is known. */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (declared > bytesMax) throw tooLarge(declared, bytesMax);
  if (!request.body) return new Uint8Array(0);
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

/** The media type of a request, without its parameters. */
export function mediaType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
}

function tooLarge(found: number, bytesMax: number): Fault {
  return new Fault("body-too-large", `the body has ${found} bytes or more, allowed are ${bytesMax}`);
}
