import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run, serve, serveByNpm, type Server, thisRuntime } from "../process/program.ts";
import { Workbench } from "../process/workbench.ts";
import { Api } from "../routes/api.ts";

const bench = new Workbench();
let data: string;
let server: Server;

beforeAll(async () => {
  data = await bench.directory();
  server = await serve(["--port", "0", "--data", data]);
  bench.defer(() => server.program.kill());
});
afterAll(() => bench.clear());

describe("millrace serve", () => {
  test("prints one line on standard output that tells where it is", async () => {
    expect(server.listening).toEqual({
      event: "listening",
      http: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      websocket: `${server.url.replace("http", "ws")}/v1/replicate`,
      webtransport: thisRuntime() === "deno" ? expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+/) : null,
      certificateHashes: expect.any(Array),
      nodeId: expect.any(String),
      runtime: expect.stringMatching(new RegExp(`^${thisRuntime()} \\d`)),
    });
    expect(server.program.output.trimEnd().split("\n")).toHaveLength(1);
    const { body } = await new Api(server.url).call("GET", "/v1/node");
    expect([body["nodeId"], body["certificateHashes"]]).toEqual([
      server.listening.nodeId,
      [...server.listening.certificateHashes],
    ]);
  });

  test("refuses the data directory of a server that runs, naming it and its process", async () => {
    const { code, out, err } = await run(["serve", "--json", "--port", "0", "--data", data]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain(`is held by process ${server.program.child.pid}`);
    expect(err).toContain(data);
  });

  test("fails with 1 where its port is taken", async () => {
    const { code, err } = await run(["serve", "--port", String(server.port), "--store", "memory"]);
    expect(code).toBe(1);
    expect(err).not.toContain("    at ");
  });

  test("takes flags over the environment, and that over the file", async () => {
    const config = join(await bench.directory(), "millrace.json");
    await writeFile(config, JSON.stringify({ nodeId: "file", store: "memory", port: 1, limits: { sessionsMax: 7 } }));
    const env = { MILLRACE_NODE_ID: "environment", MILLRACE_PORT: "2" };
    const other = await serve(["--config", config, "--port", "0"], { env });
    const { body } = await new Api(other.url).call("GET", "/v1/node");
    expect([body["nodeId"], (body["limits"] as { sessionsMax: number }).sessionsMax]).toEqual(["environment", 7]);
    expect([await other.program.kill("SIGTERM"), other.program.output.endsWith(`{"event":"stopped"}\n`)]).toEqual([
      0,
      true,
    ]);
  });

  test("drains on SIGTERM and ends with 0; what it had is there after the next start, without a scan", async () => {
    const own = await bench.directory();
    const first = await serve(["--port", "0", "--data", own]);
    const api = new Api(first.url);
    await api.create("log");
    await api.append("log", "kept");
    expect(await first.program.kill("SIGTERM")).toBe(0);
    const second = await serve(["--port", "0", "--data", own]);
    expect(second.listening.nodeId).toBe(first.listening.nodeId);
    const { entries } = (await new Api(second.url).read("log")).body;
    expect(entries.map(({ payload }) => payload)).toEqual(["kept"]);
    expect(second.program.errors).not.toContain("unfinished write");
    expect(await second.program.kill("SIGINT")).toBe(0);
  });

  test("drains as well where npm started it and npm is told to end", async () => {
    const script = { bun: "start:bun", deno: "start", node: "start:node" }[thisRuntime()];
    const { program } = await serveByNpm(script, ["--port", "0", "--store", "memory"]);
    await program.kill("SIGTERM");
    expect(program.output.endsWith(`{"event":"stopped"}\n`)).toBe(true);
  });
});
