#!/usr/bin/env node
// The `millrace` program. Exit codes: 0 done, 1 failed, 2 bad usage. A command's own code is loaded when it is called: all of
// it takes a few hundred milliseconds.

import process from "node:process";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { ACK_LEVELS } from "../core/ack_level.ts";
import { holdProcess } from "../server/environment.node.ts";
import { directTransport } from "../net/connect/connect_urls.ts";
import { VERSION } from "../server/version.ts";
import { createChannel, deleteChannel, listChannels } from "./channels.ts";
import { parsePeers } from "./peer_list.node.ts";
import { CLIENT_TRANSPORTS } from "./client_transports.ts";
import { status } from "./status.ts";
import { fail } from "./terminal.node.ts";

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number)) throw new InvalidArgumentError("allowed is a whole number");
  return number;
}

function httpAddress(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new InvalidArgumentError("allowed is an http or https address, such as http://127.0.0.1:4437");
  }
  return text;
}

/** An address of a node that may also say by which transport. */
function nodeAddress(text: string): string {
  if (directTransport(text) !== undefined) return text;
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new InvalidArgumentError(
      "allowed is an http or https address, or one that says by which transport: ws, wss, quic, tls, tcp",
    );
  }
  return text;
}

const DEFAULT_ADDRESSES: readonly string[] = ["http://127.0.0.1:4437"];

/** Addresses of `--url`, given several times or with commas. */
function addresses(parse: (text: string) => string) {
  return (text: string, before: readonly string[]): readonly string[] => [
    ...(before === DEFAULT_ADDRESSES ? [] : before),
    ...list(text).map(parse),
  ];
}

const list = (text: string) => text.split(",").map((item) => item.trim()).filter((item) => item !== "");

function makeProgram(): Command {
  const program = new Command("millrace")
    .description("A replicated append-only log for the web platform")
    .version(VERSION)
    .exitOverride()
    .showHelpAfterError();
  program.command("serve")
    .description("run a node")
    .option("--config <file>", "JSON file; the environment (MILLRACE_*) and flags come over it")
    .option("--host <address>", "address to listen on (default 127.0.0.1)")
    .option("--port <number>", "TCP and UDP port (default 4437)", wholeNumber)
    .option("--data <directory>", "data directory (default ./data)")
    .option("--store <kind>", "segments or memory (default segments)")
    .option("--node-id <id>", "identity of the node (default: made once, kept in the data directory)")
    .option("--transports <list>", "of websocket, webtransport, quic, tls, tcp (default websocket,webtransport)", list)
    .option("--quic-port <number>", "UDP port for QUIC (default: a free one)", wholeNumber)
    .option("--tls-port <number>", "TCP port for sessions over TLS (default: a free one)", wholeNumber)
    .option("--tcp-port <number>", "TCP port for sessions over plain TCP (default: a free one)", wholeNumber)
    .option(
      "--webtransport-http2-port <number>",
      "TCP port for WebTransport over HTTP/2 (default: a free one; on Deno none)",
      wholeNumber,
    )
    .option("--tls-cert <file>", "certificate for HTTPS, secure WebSocket, TLS and QUIC (PEM)")
    .option("--tls-key <file>", "its private key (PEM)")
    .option("--ca <file>", "authorities whose client certificates are required (PEM)")
    .option("--client-certificates <rule>", "none, request or require (default with --ca: require)")
    .option("--cluster <name>", "name of the cluster (default millrace)")
    .option("--peers <list>", "the nodes of the cluster: ID=ADDRESS,ID=ADDRESS", parsePeers)
    .option("--origins <list>", "origins of other web pages that may use this node", list)
    .option("--hosts <list>", "other host names by which this node is reached", list)
    .option("--advertise <address>", "where clients reach the API (default: where it listens)")
    .option("--allow-anonymous", "listen beyond loopback although anyone may then read and append")
    .option("--json", "print machine-readable lines")
    .action(async (options) => await (await import("./serve.node.ts")).serve(options));
  client(program.command("append <channel> [file]"), nodeAddress)
    .description("append each line of a file, or of standard input (-), as an entry")
    .addOption(
      new Option("--ack <level>", "durability to wait for").choices(ACK_LEVELS).default(
        "quorum",
      ),
    )
    .addOption(transportOption("how entries are brought"))
    .action(async (channel, file, options) => await (await import("./append.node.ts")).append(channel, file, options));
  client(program.command("tail <channel>"), nodeAddress)
    .description("print entries, each with a newline")
    .option("--from <seq>", "first entry", wholeNumber, 0)
    .option("--limit <count>", "stop after so many entries", wholeNumber)
    .option("--follow", "wait for more at the tail")
    .addOption(transportOption("how entries come"))
    .action(async (channel, options) => await (await import("./tail.ts")).tail(channel, options));
  const channels = client(program.command("channels")).description("list channels").action(listChannels);
  client(channels.command("create <name>")).description("create a channel").action(createChannel);
  client(channels.command("delete <name>")).description("delete a channel and its entries for good").action(
    deleteChannel,
  );
  client(program.command("status [channel]")).description("status of the node, or of a channel and its replicas")
    .option("--no-follow", "a channel as this node sees it, not as its leader does")
    .action(status);
  addCert(program.command("cert").description("make, renew and show the certificates of a cluster"));
  return program;
}

function transportOption(what: string): Option {
  const fallback = "default: as --url says, which is http for an http address";
  return new Option("--transport <name>", `${what}; ${fallback}`).choices(CLIENT_TRANSPORTS);
}

function addCert(cert: Command): void {
  const load = () => import("./cert.node.ts");
  const made = (command: Command) =>
    command.option("--dir <directory>", "where the files are", ".").option("--json", "print machine-readable lines")
      .option("--days <number>", "how long it is valid", wholeNumber);
  made(cert.command("init").description("a new authority: ca.pem, ca.key"))
    .action(async (options) => await (await load()).initAuthority(options));
  made(cert.command("node <id>").description("certificate of a node: ID.pem, ID.key"))
    .option("--host <host...>", "names and addresses by which the node is reached, besides loopback")
    .action(async (id, options) => await (await load()).nodeCertificate(id, options));
  made(cert.command("client <name>").description("certificate of a client: NAME.pem, NAME.key"))
    .action(async (name, options) => await (await load()).clientCertificate(name, options));
  made(cert.command("rotate <name>").description("a new key and certificate for a name; ca makes a new authority"))
    .action(async (name, options) => await (await load()).rotateCertificate(name, options));
  made(cert.command("retire").description("take the authority before the last rotation out of ca.pem"))
    .action(async (options) => await (await load()).retireAuthority(options));
  cert.command("show <file>").description("what a certificate file says").option(
    "--json",
    "print machine-readable lines",
  )
    .action(async (file, options) => await (await load()).showCertificates(file, options));
}

function client(command: Command, address = httpAddress): Command {
  return command
    .addOption(
      new Option("--url <address>", "address of a node; of several ones with commas, or given again").env(
        "MILLRACE_URL",
      )
        .default(DEFAULT_ADDRESSES).argParser(addresses(address)),
    )
    .addOption(new Option("--token <token>", "capability token").env("MILLRACE_TOKEN"))
    .option("--ca <file>", "PEM file of the authorities to trust instead of the system's")
    .option("--tls-cert <file>", "PEM file of the client's certificate chain, for nodes that ask for one")
    .option("--tls-key <file>", "PEM file of the key of --tls-cert")
    .option("--json", "print machine-readable lines");
}

const release = holdProcess();
try {
  await makeProgram().parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else fail(error);
} finally {
  release();
}
// What a finished command leaves behind (an idle keep-alive connection) is not waited for; what it printed is.
process.stdout.write("", () => process.stderr.write("", () => process.exit()));
