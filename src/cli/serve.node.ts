// `millrace serve`: a node until it is told to stop.

import { readFile } from "node:fs/promises";
import process from "node:process";
import { configure, getTextFormatter } from "@logtape/logtape";
import { createNode } from "../mod.ts";
import type { NodeConfigInput } from "../schema/config.ts";
import { fail, interruption, print, printJson, UsageError } from "./terminal.node.ts";

interface ServeOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly [flag: string]: unknown;
}

/** Environment variables and the fields they set. */
const FROM_ENVIRONMENT: Readonly<Record<string, (text: string) => Record<string, unknown>>> = {
  MILLRACE_HOST: (host) => ({ host }),
  // What is no number stays as it is, so that the schema names what was found.
  MILLRACE_PORT: (port) => ({ port: /^\d+$/.test(port) ? Number(port) : port }),
  MILLRACE_DATA: (data) => ({ data }),
  MILLRACE_STORE: (store) => ({ store }),
  MILLRACE_NODE_ID: (nodeId) => ({ nodeId }),
  MILLRACE_TRANSPORTS: (list) => ({ transports: list.split(",") }),
  MILLRACE_ORIGINS: (list) => ({ origins: list.split(",") }),
  MILLRACE_HOSTS: (list) => ({ hosts: list.split(",") }),
  MILLRACE_ALLOW_ANONYMOUS: (text) => ({ allowAnonymous: text === "true" || text === "1" }),
};

export async function serve(options: ServeOptions): Promise<void> {
  const signal = interruption();
  await configureLogging();
  process.on("unhandledRejection", (error) => {
    fail(new Error("a background failure that nobody handled", { cause: error }));
    process.exit(1);
  });
  const { config, json = false, ...flags } = options;
  const node = createNode({ ...await fromFile(config), ...fromEnvironment(), ...flags } as NodeConfigInput);
  await node.start();
  const { http, webtransport, websocket, certificateHashes, nodeId, runtime } = node.status();
  if (json) await printJson({ event: "listening", http, webtransport, websocket, certificateHashes, nodeId, runtime });
  else await print(greeting(node.status()));
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  if (!json) await print("draining\n");
  await node.close();
  if (json) await printJson({ event: "stopped" });
}

function greeting(
  { http, webtransport, websocket, transports, runtime, store }: ReturnType<ReturnType<typeof createNode>["status"]>,
): string {
  const why = transports.find(({ name }) => name === "webtransport")!.reason;
  return [
    `Millrace on ${runtime}`,
    `  console and API  ${http}  (reference at ${http}/docs)`,
    `  WebTransport     ${webtransport ?? `not here: ${why}`}`,
    `  WebSocket        ${websocket}`,
    `  store            ${store.kind}: ${store.durability}`,
    "",
  ].join("\n");
}

async function fromFile(path: string | undefined): Promise<Record<string, unknown>> {
  const named = path ?? process.env["MILLRACE_CONFIG"];
  if (named === undefined) return {};
  const text = await readFile(named, "utf8").catch((cause) => {
    throw new UsageError(`${named} cannot be read`, { cause });
  });
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`${named} is not JSON`, { cause });
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    throw new UsageError(`${named} has ${text.trim().slice(0, 40)}, allowed is a JSON object of fields`);
  }
  return fields as Record<string, unknown>;
}

function fromEnvironment(): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [variable, toField] of Object.entries(FROM_ENVIRONMENT)) {
    const text = process.env[variable];
    if (text !== undefined && text !== "") Object.assign(fields, toField(text));
  }
  return fields;
}

/** Log lines go to standard error: standard output belongs to the command. */
function configureLogging(): Promise<void> {
  const format = getTextFormatter({ timestamp: "time" });
  return configure({
    sinks: { stderr: (record) => process.stderr.write(format(record)) },
    loggers: [
      { category: "millrace", sinks: ["stderr"], lowestLevel: "info" },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "warning" },
    ],
  });
}
