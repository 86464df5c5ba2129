// `millrace serve`: a node until it is told to stop.

import { readFile } from "node:fs/promises";
import process from "node:process";
import { configure, getLogger, getTextFormatter } from "@logtape/logtape";
import { createNode } from "../mod.ts";
import type { CertificateStatus, NodeStatus, TransportStatus } from "../schema/api.ts";
import type { NodeConfigInput } from "../schema/config.ts";
import { NOT_CONFIGURED } from "../server/listeners.ts";
import { parsePeers } from "./peer_list.node.ts";
import { fail, interruption, print, printJson, UsageError } from "./terminal.node.ts";

const logger = getLogger(["millrace", "serve"]);

interface ServeOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly [flag: string]: unknown;
}

const TITLE_WIDTH = 22;
const TITLES: Readonly<Record<string, string>> = {
  websocket: "WebSocket",
  webtransport: "WebTransport",
  quic: "QUIC",
  tls: "TLS",
  tcp: "TCP",
};

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
  MILLRACE_ADVERTISE: (advertise) => ({ advertise }),
  MILLRACE_TLS_CERT: (tlsCert) => ({ tlsCert }),
  MILLRACE_TLS_KEY: (tlsKey) => ({ tlsKey }),
  MILLRACE_CA: (ca) => ({ ca }),
  MILLRACE_CLUSTER: (cluster) => ({ cluster }),
  MILLRACE_PEERS: (list) => ({ peers: parsePeers(list) }),
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
  process.on(
    "SIGHUP",
    () => void node.reload().catch((error) => logger.error("nothing is reloaded: {error}", { error })),
  );
  const status = node.status();
  const { http, webtransport, websocket, certificateHashes, nodeId, runtime } = status;
  if (json) await printJson({ event: "listening", http, webtransport, websocket, certificateHashes, nodeId, runtime });
  else await print(greeting(status, node.peers().peers.map(({ id }) => id)));
  // A signal that came during the start has aborted it already.
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  if (!json) await print("draining\n");
  await node.close();
  if (json) await printJson({ event: "stopped" });
}

/** Where things are, a line each; a transport that is missing says what would enable it. */
function greeting(node: NodeStatus, peers: readonly string[]): string {
  const { http, store, certificate } = node;
  return [
    `Millrace ${node.version} on ${node.runtime}, node ${node.nodeId}`,
    line("console and API", `${http}  (reference at ${http}/docs)`),
    ...transportLines(node.transports),
    ...(certificate ? certificateLines(certificate) : []),
    ...(peers.length > 0 ? [line("peers", peers.join(", "))] : []),
    line("store", `${store.kind}: ${store.durability}`),
    "",
  ].join("\n");
}

function transportLines(transports: NodeStatus["transports"]): string[] {
  const [h3, h2] = (["h3", "h2"] as const).map((version) => transports.find(({ http }) => http === version));
  const webTransport = webTransportLine(h3, h2);
  return transports.flatMap(({ name, available, reason, url, http }) => {
    if (http === "h2" || reason === NOT_CONFIGURED) return [];
    if (http === "h3") return [line(TITLES[name]!, webTransport)];
    return [line(TITLES[name] ?? name, available ? url! : reason)];
  });
}

/** One line for both versions of HTTP. Browsers need HTTP/3. */
function webTransportLine(h3: TransportStatus | undefined, h2: TransportStatus | undefined): string {
  const overHttp2 = h2?.url ? `over HTTP/2: ${h2.url}` : undefined;
  if (h3?.url) return `${h3.url}  (${overHttp2 ?? `not over HTTP/2: ${h2?.reason}`})`;
  const install = /npm install [^\s;)]+/.exec(h3?.reason ?? "")?.[0];
  if (!overHttp2 && !install) return `not here: ${h3?.reason}`;
  const remedy = `for HTTP/3, as browsers need it, ${install ? `${install}, or ` : ""}start it on Deno`;
  return overHttp2 ? `only ${overHttp2}  (${remedy})` : `not here: ${remedy}`;
}

function certificateLines({ name, issuer, notAfter, daysLeft, authorities }: CertificateStatus): string[] {
  const accepted = authorities.map((each) => each.name).join(", ");
  return [
    line("certificate", `${name}, issued by ${issuer}, until ${notAfter.slice(0, 10)} (${daysLeft} days)`),
    ...(accepted ? [line("accepts certificates", `of ${accepted}`)] : []),
  ];
}

function line(title: string, text: string): string {
  return `  ${title.padEnd(TITLE_WIDTH)}${text}`;
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
