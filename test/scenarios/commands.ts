// The words of a scenario; README.md explains them. Each does one thing to the stage and prints what came of it.

import type { MemberMessage, Membership } from "../../src/core/replica_set.ts";
import { type Actor, CHANNEL } from "./actor.ts";
import type { Route } from "./post.ts";
import { Stage } from "./stage.ts";
import { membersText, roleText } from "./telling.ts";

/** Time in which an election must have ended. */
const ELECTION_MS_MAX = 5_000;

/** Messages as a stranger, or a node that is mixed up, could send them. */
const FORGERIES: Readonly<Record<string, (epoch: number) => MemberMessage>> = {
  vote: (epoch) => ({
    type: "voteRequest",
    channel: CHANNEL,
    epoch,
    isPreVote: false,
    isTransfer: true,
    isDoubtful: false,
    end: { seq: 0, epoch: 0 },
  }),
  ack: (epoch) => ({
    type: "feedAck",
    channel: CHANNEL,
    epoch,
    requestId: 7,
    writtenSeq: 99,
    syncedSeq: 99,
    commit: 99,
    creditLimit: 0,
  }),
  entries: (epoch) => ({
    type: "entries",
    channel: CHANNEL,
    epoch,
    requestId: 7,
    from: 2,
    epochBefore: 1,
    end: { seq: 99, epoch },
    commit: 99,
    frames: new Uint8Array(0),
  }),
};

/** Enough for all to hear what is committed. */
const CALM_MS = 1_000;

type Command = (stage: Stage, words: readonly string[]) => void;

const COMMANDS: Readonly<Record<string, Command>> = {
  nodes: (stage, words) => {
    const isNew = words.at(-1) !== "blank";
    stage.open(membership(isNew ? words : words.slice(0, -1)), { isNew });
  },
  cluster: (stage, words) => {
    COMMANDS["nodes"]!(stage, words);
    COMMANDS["elect"]!(stage, words.slice(0, 1));
    stage.advance(CALM_MS, { delivers: true });
    stage.takeLines();
  },
  join: (stage, [id]) => stage.join(id!),
  show: (stage) => {
    for (const actor of stage.actors.values()) stage.tell(line(actor));
  },
  members: (stage, [id]) => {
    const { seq, membership } = stage.actor(id).record!.memberships.at(-1)!;
    stage.tell(`${id}: members ${membersText(membership)} (entry ${seq})`);
  },
  messages: (stage) => {
    for (const text of stage.pending) stage.tell(text);
  },
  append: (stage, [id, count = "1"]) => {
    const fault = stage.actor(id).append(number(count));
    if (fault !== undefined) stage.tell(`${id}: refused, ${fault}`);
  },
  deliver: (stage, words) => {
    const count = words.find((word) => /^\d+$/.test(word));
    const path = route(words.find((word) => !/^\d+$/.test(word)));
    let left = count === undefined ? Infinity : number(count);
    while (left-- > 0 && stage.deliver(path, { isTold: true }));
  },
  settle: (stage) => stage.settle(),
  lose: (stage, [path, count]) => stage.lose(route(path), count === undefined ? Infinity : number(count)),
  forge: (stage, [path, kind, epoch]) => {
    const { from, to } = route(path);
    const make = FORGERIES[kind!];
    if (!make) throw new SyntaxError(`${JSON.stringify(kind)} is nothing that can be forged`);
    stage.send(stage.actor(from).id, stage.actor(to).id, make(number(epoch)));
  },
  duplicate: (stage, [path]) => stage.duplicate(route(path)),
  tick: (stage, [ms]) => stage.advance(milliseconds(ms), { delivers: false }),
  run: (stage, [ms]) => stage.advance(milliseconds(ms), { delivers: true }),
  luck: (stage, words) => stage.setLuck(words),
  slice: (stage, [id, count]) => {
    stage.actor(id).messageEntriesMax = number(count);
  },
  elect: (stage, [id, stop]) => {
    const actor = stage.actor(id);
    stage.setLuck([actor.id]);
    stage.advance(ELECTION_MS_MAX, { delivers: true, until: () => actor.role === "leader" });
    if (actor.role !== "leader") stage.tell(`${id}: is not elected within ${ELECTION_MS_MAX} ms`);
    if (stop !== "stop") stage.settle();
  },
  crash: (stage, ids) => ids.forEach((id) => stage.stop(id, {})),
  tear: (stage, ids) => ids.forEach((id) => stage.stop(id, { isTorn: true })),
  kill: (stage, ids) => ids.forEach((id) => stage.stop(id, { losesPower: false })),
  restart: (stage, ids) => ids.forEach((id) => stage.start(id, { isNew: false })),
  repair: (stage, ids) => {
    for (const id of ids) {
      stage.stop(id, {});
      stage.actor(id).setAside();
      stage.start(id, { isNew: false });
    }
  },
  wipe: (stage, ids) => ids.forEach((id) => stage.actor(id).wipe()),
  forget: (stage, [id, count]) => {
    const { log } = stage.actor(id);
    log.truncate(log.end.seq - number(count) + 1);
  },
  damage: (stage, [id, seq]) => stage.actor(id).log.damage(number(seq)),
  pause: (stage, ids) => ids.forEach((id) => stage.pause(id)),
  resume: (stage, ids) => ids.forEach((id) => stage.resume(id)),
  hold: (stage, ids) => ids.forEach((id) => stage.actor(id).holdsSyncs = true),
  sync: (stage, ids) => {
    for (const id of ids) {
      stage.actor(id).holdsSyncs = false;
      stage.actor(id).sync();
    }
  },
  fail: (stage, [id]) => stage.actor(id).take({ kind: "logFailed", reason: "an fsync failed" }),
  cut: (stage, words) => links(stage, words).forEach(([from, to]) => stage.cut(from, to)),
  heal: (stage, words) => stage.heal(words.length === 0 ? stage.pairs() : links(stage, words)),
  isolate: (stage, ids) =>
    stage.pairs().filter(([from, to]) => ids.includes(from) !== ids.includes(to))
      .forEach(([from, to]) => stage.cut(from, to)),
  transfer: (stage, [id, to]) => stage.actor(id).take({ kind: "transfer", ...(to === undefined ? {} : { to }) }),
  change: (stage, [id, ...words]) => {
    const fault = stage.actor(id).change(membership(words));
    if (fault !== undefined) stage.tell(`${id}: refused, ${fault}`);
  },
};

/** Performs one line of a scenario; the answer is what it prints. What repeats is printed once, where it came first. */
export function perform(stage: Stage, text: string): string[] {
  const [name, ...words] = text.split(/\s+/);
  if (name === "quiet") return perform(stage, words.join(" ")).slice(0, 0);
  const command = COMMANDS[name!];
  if (!command) throw new SyntaxError(`${JSON.stringify(name)} is no command of a scenario`);
  command(stage, words);
  const lines = stage.takeLines();
  return name === "deliver" || name === "messages" ? lines : counted(lines);
}

function counted(lines: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
  return [...counts].map(([line, count]) => count === 1 ? line : `${line} (${count} times)`);
}

function line({ id, isUp, isPaused, role, epoch, leader, commit, log, record }: Actor): string {
  if (!isUp) return `${id}  down  log ${log}`;
  const state = [isPaused ? "  paused" : "", record?.isDoubtful ? "  doubtful" : ""].join("");
  return `${id}  ${roleText({ role, epoch, leader })}  commit ${commit}  log ${log}${state}`;
}

/** `a b c`, or `a b c observers d`. */
function membership(words: readonly string[]): Membership {
  const at = words.indexOf("observers");
  const voters = at === -1 ? words : words.slice(0, at);
  return { voters: [...voters].sort(), observers: at === -1 ? [] : words.slice(at + 1).toSorted() };
}

/** `a>b`: from a to b; `a>` all that a sends; nothing: any. */
function route(text = ""): Route {
  const [from, to] = text.split(">");
  return { ...(from ? { from } : {}), ...(to ? { to } : {}) };
}

/** `a>b` one way; `a b` both ways. */
function links(stage: Stage, [first, second]: readonly string[]): [string, string][] {
  const [from, to] = second === undefined ? first!.split(">") : [first, second];
  const pair: [string, string] = [stage.actor(from).id, stage.actor(to).id];
  return second === undefined ? [pair] : [pair, [pair[1], pair[0]]];
}

function number(text: string | undefined): number {
  if (!/^\d+$/.test(text ?? "")) throw new SyntaxError(`${JSON.stringify(text)} is no whole number`);
  return Number(text);
}

function milliseconds(text: string | undefined): number {
  const found = /^(\d+)ms$/.exec(text ?? "");
  if (!found) throw new SyntaxError(`${JSON.stringify(text)} is no time, such as 400ms`);
  return Number(found[1]);
}
