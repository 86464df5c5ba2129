// A body as a whole, whatever its length is said to be and however it is cut.

import { expect, test } from "bun:test";
import { readBody } from "../../routes/body.ts";
import { payloadOf } from "../log/run_builder.ts";

const BYTES_MAX = 1 << 20;

/** A request whose body comes in parts of `partBytes`. */
function post(
  body: Uint8Array,
  { partBytes = body.byteLength, declared }: { partBytes?: number; declared?: number | undefined },
) {
  let at = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= body.byteLength) return controller.close();
      controller.enqueue(body.slice(at, at + partBytes));
      at += partBytes;
    },
  });
  const headers = declared === undefined ? {} : { "content-length": String(declared) };
  return new Request("http://127.0.0.1/", { method: "POST", body: stream, headers, duplex: "half" } as RequestInit);
}

for (const byteLength of [1, 1000, 65_536, 65_537, 300_000, BYTES_MAX]) {
  test(`a body of ${byteLength} bytes is whole, declared or not, in one part and in many`, async () => {
    const body = payloadOf(7, byteLength);
    for (const partBytes of [byteLength, 1 << 16, 999]) {
      for (const declared of [byteLength, undefined]) {
        const read = await readBody(post(body, { partBytes, declared }), BYTES_MAX);
        expect(Buffer.compare(read, body)).toBe(0);
      }
    }
  });
}

for (const declared of [undefined, 1000, 200_000]) {
  test(`a body of which the rest does not come is refused, ${declared ?? "nothing"} declared`, async () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(10)),
      pull: () => Promise.reject(new Error("aborted")),
    });
    const headers = declared === undefined ? {} : { "content-length": String(declared) };
    const init = { method: "POST", body, headers, duplex: "half" } as RequestInit;
    await expect(readBody(new Request("http://127.0.0.1/", init), BYTES_MAX)).rejects.toMatchObject({
      name: "Fault",
      code: "bad-request",
    });
  });
}

test("a body that is shorter than declared is what came", async () => {
  const body = payloadOf(7, 100_000);
  const read = await readBody(post(body, { partBytes: 5000, declared: 200_000 }), BYTES_MAX);
  expect(Buffer.compare(read, body)).toBe(0);
});

test("a body that is longer than declared, or than allowed, is refused", async () => {
  const body = payloadOf(7, 200_000);
  const codeOf = (request: Request, bytesMax: number) => readBody(request, bytesMax).catch(({ code }) => code);
  expect(await codeOf(post(body, { partBytes: 5000, declared: 100_000 }), BYTES_MAX)).toBe("body-too-large");
  expect(await codeOf(post(body, { partBytes: 5000, declared: 200_000 }), 199_999)).toBe("body-too-large");
  expect(await codeOf(post(body, { partBytes: 5000 }), 199_999)).toBe("body-too-large");
});
