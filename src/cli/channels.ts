import type { ChannelStatus } from "../schema/api.ts";
import { channelPath, type ClientOptions, HttpClient } from "./http_client.ts";
import { ProblemError } from "./node_error.ts";
import { print, printJson, printTable } from "./terminal.node.ts";

type Listed = Omit<ChannelStatus, "replicas" | "config">;

/** `millrace channels` */
export async function listChannels(options: ClientOptions): Promise<void> {
  const client = new HttpClient(options);
  const all: Listed[] = [];
  for (let after = "";;) {
    const page = await client.json<{ channels: Listed[]; hasMore: boolean }>(
      `/v1/channels?after=${encodeURIComponent(after)}`,
    );
    all.push(...page.channels);
    if (!page.hasMore) break;
    after = all.at(-1)!.name;
  }
  if (options.json) { for (const channel of all) await printJson(channel); }
  else {
    const rows = all.map((
      { name, role, firstSeq, commit, bytes },
    ) => [name, role, `${firstSeq}`, `${commit}`, `${bytes}`]);
    await printTable([["NAME", "ROLE", "FIRST", "COMMIT", "BYTES"], ...rows]);
  }
}

/** `millrace channels create NAME` */
export async function createChannel(
  name: string,
  _: unknown,
  command: { optsWithGlobals(): ClientOptions },
): Promise<void> {
  const options = command.optsWithGlobals();
  const response = await new HttpClient(options).request(channelPath(name), { method: "PUT", isRepeatable: true });
  const channel = await response.json();
  if (options.json) await printJson(channel);
  else await print(`${name} ${response.status === 201 ? "created" : "exists"}\n`);
}

/** `millrace channels delete NAME` */
export async function deleteChannel(
  name: string,
  _: unknown,
  command: { optsWithGlobals(): ClientOptions },
): Promise<void> {
  const options = command.optsWithGlobals();
  let mayBeDone = false;
  const onUnknown = () => {
    mayBeDone = true;
  };
  const request = { method: "DELETE", isRepeatable: true, onUnknown };
  await new HttpClient(options).request(channelPath(name), request).catch((error) => {
    // What the first try has done, the next one does not find any more.
    if (!(mayBeDone && error instanceof ProblemError && error.code === "unknown-channel")) throw error;
  });
  if (options.json) await printJson({ deleted: name });
  else await print(`${name} deleted\n`);
}
