// What the listener of WebSocket answers to requests of HTTP.

import { describe, expect, test } from "bun:test";
import { whenClosed } from "./http_listener.node.ts";
import { HttpListenings } from "./http_listenings.node.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { until } from "./wait.ts";

describe("HTTP beside it", () => {
  const listenings = new HttpListenings();
  const bodyLength = async (request: Request) => new Response(String((await request.arrayBuffer()).byteLength));
  const post = (url: string, head: string) => `POST / HTTP/1.1\r\nHost: ${new URL(url).host}\r\n${head}\r\n\r\n`;

  test("a request is answered, with the peer's address known", async () => {
    const { listener } = await listenings.start({}, { fetch: (_request, info) => Response.json(info) });
    expect(await (await fetch(`${listener.url}/x`)).json()).toEqual({ peerAddress: "127.0.0.1" });
  });

  for (const kind of ["declared", "chunked"] as const) {
    test(`a ${kind} body is read whole up to the limit, and answered with 413 and a problem document beyond`, async () => {
      const { listener, errors } = await listenings.start({ requestBodyBytesMax: 100_000 }, { fetch: bodyLength });
      const send = (size: number) => {
        const bytes = pattern(0, size);
        const body = kind === "declared" ? bytes : new Blob([bytes]).stream();
        return fetch(listener.url, { method: "POST", body, duplex: "half" } as RequestInit);
      };
      expect(await (await send(100_000)).text()).toBe("100000");
      const refused = await send(100_001);
      expect([refused.status, refused.headers.get("content-type")]).toEqual([413, "application/problem+json"]);
      expect(await refused.json()).toMatchObject({ code: "body-too-large", retryable: false, sideEffects: "none" });
      expect(errors).toEqual([]);
    });

    test(`a ${kind} body that stalls or trickles is given up with 408`, async () => {
      const listening = await listenings.start({ bodyStallMs: 300 }, { fetch: bodyLength });
      const { url } = listening.listener;
      const head = kind === "declared" ? "Content-Length: 1000" : "Transfer-Encoding: chunked";
      const piece = kind === "declared" ? "a" : "1\r\na\r\n";
      const [stalled, trickling] = [listenings.raw(listening), listenings.raw(listening)];
      for (const connection of [stalled, trickling]) connection.send(post(url, head) + piece);
      const drip = setInterval(() => trickling.send(piece), 20);
      await until(
        () => [stalled, trickling].every(({ received }) => received.includes("body-too-slow")),
        "both answers",
      )
        .finally(() => clearInterval(drip));
      for (const { received } of [stalled, trickling]) expect(received.slice(0, 13)).toBe("HTTP/1.1 408 ");
      expect(listening.errors).toEqual([]);
    });
  }

  test("half a request head, and one that trickles, are closed after the grace", async () => {
    const listening = await listenings.start({ handshakeGraceMs: 500, keepAliveMs: 500 });
    const [half, trickling] = [listenings.raw(listening), listenings.raw(listening)];
    half.send("GET / HTTP/1.1\r\nHost: a\r\n");
    trickling.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    const drip = setInterval(() => trickling.send("a"), 50);
    await Promise.all([whenClosed(half), whenClosed(trickling)]).finally(() => clearInterval(drip));
  });

  test("a Host that is none is a bad request", async () => {
    const listening = await listenings.start();
    const connection = listenings.raw(listening);
    connection.send("GET / HTTP/1.1\r\nHost: a b\\c\r\n\r\n");
    await until(() => connection.received.startsWith("HTTP/1.1 400 "), "the refusal");
    expect(listening.errors).toEqual([]);
  });

  test("an answer is streamed as the client reads it", async () => {
    let pulls = 0;
    const endless = () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            pulls++;
            controller.enqueue(new Uint8Array(65536));
          },
        }),
      );
    const listening = await listenings.start({}, { fetch: endless });
    const connection = listenings.raw(listening);
    connection.pause();
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let sameRounds = 0;
    let before = -1;
    await until(() => {
      sameRounds = pulls === before && pulls > 0 ? sameRounds + 1 : 0;
      before = pulls;
      return sameRounds > 50;
    }, "the stream to wait for its reader");
    expect(pulls).toBeLessThan(500);
  });

  test("a stream of events reaches the client event by event, and is cancelled when the client leaves", async () => {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    let isCancelled = false;
    const events = () =>
      new Response(
        new ReadableStream<Uint8Array>({
          start: (given) => void (controller = given),
          cancel: () => void (isCancelled = true),
        }),
        { headers: { "content-type": "text/event-stream" } },
      );
    const { listener } = await listenings.start({}, { fetch: events });
    const leave = new AbortController();
    const responding = fetch(listener.url, { signal: leave.signal });
    await until(() => controller !== undefined, "the request");
    // Bun sends the head of a streamed answer together with its first bytes.
    controller.enqueue(pattern(0, 10));
    const reader = (await responding).body!.getReader();
    expect(await readExactly(reader, 10)).toEqual(pattern(0, 10));
    controller.enqueue(pattern(0, 20));
    expect(await readExactly(reader, 20)).toEqual(pattern(0, 20));
    reader.closed.catch(() => {});
    leave.abort();
    const beats = setInterval(() => {
      if (!isCancelled) controller.enqueue(pattern(0, 10));
    }, 20);
    await until(() => isCancelled, "the stream to be cancelled").finally(() => clearInterval(beats));
  });

  test("a handler that throws is reported and answered with 500 and a problem document", async () => {
    const { listener, errors } = await listenings.start({}, {
      fetch: () => {
        throw new Error("a bug");
      },
    });
    const response = await fetch(listener.url);
    expect([response.status, response.headers.get("content-type")]).toEqual([500, "application/problem+json"]);
    expect(await response.json()).toMatchObject({ code: "internal", sideEffects: "possible" });
    expect(errors).toMatchObject([{ message: "a bug" }]);
  });
});
