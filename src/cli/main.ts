#!/usr/bin/env node
// The `millrace` program. Exit codes: 0 done, 1 failed, 2 bad usage. A command's own code is loaded when it is called: all of
// it takes a few hundred milliseconds.

import process from "node:process";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { holdProcess } from "../server/environment.node.ts";
import { VERSION } from "../server/version.ts";
import { createChannel, deleteChannel, listChannels } from "./channels.ts";
import { TAIL_TRANSPORTS } from "./tail_transports.ts";
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
    .option("--transports <list>", "websocket,webtransport", list)
    .option("--origins <list>", "origins of other web pages that may use this node", list)
    .option("--hosts <list>", "other host names by which this node is reached", list)
    .option("--allow-anonymous", "listen beyond loopback although anyone may then read and append")
    .option("--json", "print machine-readable lines")
    .action(async (options) => await (await import("./serve.node.ts")).serve(options));
  client(program.command("append <channel> [file]"))
    .description("append each line of a file, or of standard input (-), as an entry")
    .addOption(
      new Option("--ack <level>", "durability to wait for").choices(["none", "leader", "quorum", "all"]).default(
        "quorum",
      ),
    )
    .action(async (channel, file, options) => await (await import("./append.node.ts")).append(channel, file, options));
  client(program.command("tail <channel>"))
    .description("print entries, each with a newline")
    .option("--from <seq>", "first entry", wholeNumber, 0)
    .option("--limit <count>", "stop after so many entries", wholeNumber)
    .option("--follow", "wait for more at the tail")
    .addOption(new Option("--transport <name>", "how entries come").choices(TAIL_TRANSPORTS).default("http"))
    .action(async (channel, options) => await (await import("./tail.ts")).tail(channel, options));
  const channels = client(program.command("channels")).description("list channels").action(listChannels);
  client(channels.command("create <name>")).description("create a channel").action(createChannel);
  client(channels.command("delete <name>")).description("delete a channel and its entries for good").action(
    deleteChannel,
  );
  client(program.command("status [channel]")).description("status of the node, or of a channel and its replicas")
    .action(status);
  return program;
}

function client(command: Command): Command {
  return command
    .addOption(
      new Option("--url <address>", "address of the node").env("MILLRACE_URL").default("http://127.0.0.1:4437")
        .argParser(httpAddress),
    )
    .addOption(new Option("--token <token>", "capability token").env("MILLRACE_TOKEN"))
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
