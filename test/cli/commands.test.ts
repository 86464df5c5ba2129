import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../process/program.ts";
import { type RunningNode, Workbench } from "../process/workbench.ts";
import { Api } from "../routes/api.ts";

const bench = new Workbench();
let running: RunningNode;
let api: Api;

beforeAll(async () => {
  running = await bench.node({ nodeId: "node-a" });
  api = new Api(running.url);
  for (const name of ["b", "a/1"]) await api.create(name);
});
afterAll(() => bench.clear());

const at = (...args: string[]) => run([...args, "--url", running.url]);

describe("bad usage", () => {
  const WRONG = [
    [["tail"], "missing required argument 'channel'"],
    [["tail", "log", "--nonsense"], "unknown option '--nonsense'"],
    [["tail", "log", "--transport", "pigeon"], "Allowed choices are http, webtransport, websocket, quic, tls, tcp"],
    [["tail", "log", "--from", "1.5"], "allowed is a whole number"],
    [["append", "log", "--ack", "maybe"], "Allowed choices are none, leader, quorum, all"],
    [["append", "log", "a", "b"], "too many arguments"],
    [["nonsense"], "unknown command 'nonsense'"],
    [["status", "--url", "nonsense"], "allowed is an http or https address"],
    [["serve", "--port", "70000"], "port: "],
    [["serve", "--host", "0.0.0.0"], "reachable from other machines"],
    [[], "Usage: millrace"],
  ] as const;

  test("ends with 2 and says what is allowed, on standard error only", async () => {
    for (const half of [WRONG.slice(0, 6), WRONG.slice(6)]) {
      const ran = await Promise.all(half.map(([args]) => run(args)));
      for (const [index, { code, out, err }] of ran.entries()) {
        expect([half[index]![0], code, out, err]).toEqual([
          half[index]![0],
          2,
          "",
          expect.stringContaining(half[index]![1]),
        ]);
      }
    }
  });

  test("a configuration that cannot be used names its source, field and value", async () => {
    const directory = await bench.directory();
    const file = async (name: string, text: string) => {
      await writeFile(join(directory, name), text);
      return run(["serve", "--store", "memory", "--port", "0", "--config", join(directory, name)]);
    };
    const cases = await Promise.all([
      file("a.json", "{"),
      file("b.json", "5"),
      file("c.json", `{"prot":1}`),
      run(["serve", "--config", join(directory, "none.json")]),
      run(["serve"], { env: { MILLRACE_PORT: "eighty" } }),
    ]);
    const SAID = [/a\.json is not JSON/, /b\.json .*object/, /"prot"/, /none\.json/, /port: .*eighty/];
    for (const [index, { code, out, err }] of cases.entries()) {
      expect([index, code, out]).toEqual([index, 2, ""]);
      expect(err).toMatch(SAID[index]!);
    }
  });

  test("asked for help or the version it ends with 0", async () => {
    const [help, version] = await Promise.all([run(["--help"]), run(["--version"])]);
    expect([help.code, help.out]).toEqual([0, expect.stringContaining("append")]);
    expect([version.code, version.out]).toEqual([0, "0.1.0\n"]);
  });
});

describe("millrace channels", () => {
  test("lists them by name, as a table or an object a line", async () => {
    const [table, json] = await Promise.all([at("channels"), at("channels", "--json")]);
    expect([table.code, table.out.split("\n").map((line) => line.split(" ")[0])]).toEqual([0, [
      "NAME",
      "a/1",
      "b",
      "",
    ]]);
    const objects = json.out.trimEnd().split("\n").map((line) => JSON.parse(line));
    expect([json.code, objects.map(({ name, commit }) => [name, commit])]).toEqual([0, [["a/1", 1], ["b", 1]]]);
  });

  test("creates and deletes one; what is not there cannot be deleted", async () => {
    expect(await at("channels", "create", "made/here")).toEqual({ code: 0, out: "made/here created\n", err: "" });
    const [again, bad] = await Promise.all([
      at("channels", "create", "made/here", "--json"),
      at("channels", "create", ".."),
    ]);
    expect([again.code, JSON.parse(again.out)]).toEqual([0, expect.objectContaining({ name: "made/here" })]);
    expect([bad.code, bad.out]).toEqual([1, ""]);
    expect(await at("channels", "delete", "made/here")).toEqual({ code: 0, out: "made/here deleted\n", err: "" });
    const gone = await at("channels", "delete", "made/here");
    expect([gone.code, gone.err]).toEqual([1, expect.stringContaining("[unknown-channel]")]);
  });
});

describe("millrace status", () => {
  test("shows the node and a channel, for people and for programs", async () => {
    const [node, nodeJson, channel, channelJson, none] = await Promise.all([
      at("status"),
      at("status", "--json"),
      at("status", "a/1"),
      at("status", "a/1", "--json"),
      at("status", "nope"),
    ]);
    expect([node.code, node.out]).toEqual([0, expect.stringMatching(/^node node-a, millrace 0\.1\.0 on /)]);
    expect(JSON.parse(nodeJson.out)).toEqual((await api.call("GET", "/v1/node")).body);
    expect([channel.code, channel.out]).toEqual([
      0,
      expect.stringMatching(/^a\/1 \(\w+\): leader in epoch 1\nentries 1 to 1/),
    ]);
    expect(JSON.parse(channelJson.out)).toEqual((await api.status("a/1")).body);
    expect([none.code, none.err]).toEqual([1, expect.stringContaining("[unknown-channel]")]);
  });

  test("takes the address from the environment", async () => {
    const { code, out } = await run(["status", "--json"], { env: { MILLRACE_URL: running.url } });
    expect([code, JSON.parse(out)["nodeId"]]).toEqual([0, "node-a"]);
  });
});
