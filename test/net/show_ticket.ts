import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Shown } from "./ticket_client.node.ts";
import { within } from "./wait.ts";

/** What the client of ticket_client.node.ts, on Node wherever this runs, prints. */
export async function showTicket(options: object): Promise<Shown[]> {
  const [node, script] = ["../../node_modules/.bin/node", "ticket_client.node.ts"]
    .map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const child = spawn(node!, [script!, JSON.stringify(options)], { stdio: ["ignore", "pipe", "inherit"] });
  let line = "";
  const read = async () => {
    for await (const piece of child.stdout) line += piece;
  };
  try {
    await within(read(), "the client's line");
  } finally {
    if (child.exitCode === null) child.kill("SIGKILL");
  }
  return JSON.parse(line);
}
