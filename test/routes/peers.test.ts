import { afterAll, describe, expect, test } from "bun:test";
import { Workbench } from "../process/workbench.ts";
import { eventually } from "../process/waiting.ts";
import { Api } from "./api.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

interface Peer {
  readonly id: string;
  readonly state: string;
  readonly transport: string | null;
  readonly roundTripMs: number | null;
}

/** Nodes that know each other, on free ports: the ports of those to come are taken before. */
async function cluster(ids: readonly string[]) {
  const ports = await Promise.all(ids.map(async () => {
    const placeholder = await bench.node();
    await placeholder.node.close();
    return placeholder.port;
  }));
  const peers = ids.map((id, index) => ({ id, url: `http://127.0.0.1:${ports[index]}` }));
  return await Promise.all(
    ids.map((nodeId, index) => bench.node({ nodeId, port: ports[index]!, peers, transports: ["websocket"] })),
  );
}

const peersOf = async (api: Api) => (await api.call("GET", "/v1/peers")).body["peers"] as Peer[];
const connectedTo = (api: Api, id: string) =>
  eventually(
    `a session with ${id}`,
    async () => (await peersOf(api)).find((peer) => peer.id === id && peer.state === "connected"),
  );

/** The events of a stream until `count` of them have come. */
async function readEvents(response: Response, count: number): Promise<Record<string, unknown>[]> {
  const events: Record<string, unknown>[] = [];
  let text = "";
  const reader = response.body!.pipeThrough(new TextDecoderStream() as never)
    .getReader() as ReadableStreamDefaultReader<string>;
  while (events.length < count) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the stream ended after ${events.length} events`);
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const data = block.split("\n").find((line) => line.startsWith("data: "));
      if (data) events.push({ name: block.split("\n")[0], ...JSON.parse(data.slice("data: ".length)) });
    }
  }
  await reader.cancel();
  return events;
}

describe("the nodes of a cluster", () => {
  test("find each other over WebSocket, and say so at /v1/peers and /v1/events", async () => {
    const [a, b] = await cluster(["a", "b"]);
    const [atA, atB] = [new Api(a!.url), new Api(b!.url)];
    expect(await connectedTo(atA, "b")).toMatchObject({ state: "connected", transport: "websocket", failure: null });
    await connectedTo(atB, "a");
    const measured = await eventually(
      "a round-trip time",
      async () => (await peersOf(atA))[0]!.roundTripMs ?? undefined,
    );
    expect(measured).toBeGreaterThan(0);
    const response = await fetch(`${a!.url}/v1/events`);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    await b!.node.close();
    const [first] = await readEvents(response, 1);
    expect(first).toMatchObject({ name: "event: disconnected", event: "disconnected", peerId: "b", code: "draining" });
    expect((await peersOf(atA))[0]).toMatchObject({ state: "connecting", transport: null });
  });

  test("a node without peers has none, and turns away whoever says it is one", async () => {
    const alone = await bench.node({ nodeId: "alone", transports: ["websocket"] });
    const url = alone.url;
    const stranger = await bench.node({
      nodeId: "stranger",
      peers: [{ id: "alone", url }],
      transports: ["websocket"],
    });
    const api = new Api(stranger.url);
    const refused = await eventually(
      "the refusal",
      async () => (await peersOf(api)).find(({ state }) => state === "failed"),
    );
    expect(refused).toMatchObject({ id: "alone", failure: { code: "not-allowed" } });
    expect((await new Api(url).call("GET", "/v1/peers")).body).toEqual({
      peers: [],
      events: { connecting: 0, connected: 0, disconnected: 0, connectFailed: 0 },
      messages: expect.objectContaining({ handled: 0, wrongTarget: 0 }),
    });
  });
});
