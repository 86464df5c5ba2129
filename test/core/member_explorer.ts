// All interleavings of a few steps of three members: letters arrive, in the order of each session, timers run, disks sync, a
// leader takes an entry, a node restarts, with its disk or with an empty one. In each state the promises of a replica set are looked at.

import { ExploredNode, type Letter, type Step, VOTERS } from "./explored_node.ts";
import type { ModelEntry } from "./model_node.ts";

/** How often each of these may still happen. */
export interface Budget {
  readonly timer: number;
  readonly append: number;
  /** A node is heard by nobody, until all sessions with it are new ones. */
  readonly silence: number;
  readonly restart: number;
  readonly wipe: number;
}

/** One node after a history. */
interface Known {
  readonly key: number;
  readonly before: Known | undefined;
  readonly step: Step | undefined;
  readonly role: string;
  readonly epoch: number;
  readonly commit: number;
  readonly log: readonly ModelEntry[];
  readonly isSynced: boolean;
  readonly isTimed: boolean;
  readonly isDoubtful: boolean;
  readonly outbox: readonly number[];
}

interface World {
  readonly nodes: ReadonlyMap<string, Known>;
  readonly letters: readonly number[];
  readonly silent: string | undefined;
  readonly budget: Budget;
  /** What was true once and has to stay so: who led each epoch, and what was committed. */
  readonly led: readonly string[];
  readonly committed: readonly ModelEntry[];
  readonly path: Path | undefined;
}

interface Path {
  readonly line: string;
  readonly before: Path | undefined;
}

export interface Explored {
  readonly states: number;
  /** In how many steps it differs from what is usual. */
  readonly detours: number;
  readonly commits: number;
  readonly leaders: number;
}

export class Explorer {
  readonly #letters: Letter[] = [];
  readonly #letterIds = new Map<string, number>();
  readonly #after = new Map<string, Known>();
  #nodes = 0;

  /** A world in which `a` leads and all have what it has. */
  begin(budget: Budget): World {
    let world: World = {
      nodes: new Map(VOTERS.map((id) => [id, this.#known(id, undefined, undefined)])),
      letters: [],
      silent: undefined,
      budget: { timer: 10, append: 0, silence: 0, restart: 0, wipe: 0 },
      led: [],
      committed: [],
      path: undefined,
    };
    world = this.#step(world, "a", { kind: "timer" });
    for (let settled = 0; settled < 200; settled++) {
      const [letter] = world.letters;
      const unsynced = VOTERS.find((id) => !world.nodes.get(id)!.isSynced);
      if (letter !== undefined) world = this.#deliver(world, letter);
      else if (unsynced !== undefined) world = this.#step(world, unsynced, { kind: "sync" });
      else break;
    }
    if (world.nodes.get("a")!.role !== "leader") throw new Error("a does not lead to begin with");
    return { ...world, budget, path: undefined };
  }

  /**
   * Looks at all that may come of `world`, up to so many states: first at what comes where everything arrives at once and in turn, then
   * at all that differs from that in one step, in two, and so on.
   */
  explore(world: World, statesMax: number): Explored {
    const seen = new Set<string>();
    let [commits, leaders, detours] = [0, 0, 0];
    for (let front = [() => world]; front.length > 0; detours++) {
      const later: (() => World)[] = [];
      while (front.length > 0) {
        const at = front.pop()!();
        const key = keyOf(at);
        if (seen.has(key)) continue;
        if (seen.size >= statesMax) return { states: seen.size, detours, commits, leaders };
        seen.add(key);
        commits = Math.max(commits, at.committed.length);
        leaders = Math.max(leaders, at.led.length - 1);
        const [usual, ...others] = this.#next(at);
        if (usual) front.push(usual);
        later.push(...others);
      }
      front = later;
    }
    return { states: seen.size, detours, commits, leaders };
  }

  *#next(world: World): Generator<() => World> {
    const { budget, silent } = world;
    for (const letter of this.#firstLetters(world.letters)) yield () => this.#deliver(world, letter);
    const nodes = [...world.nodes];
    for (const [id, node] of nodes) if (!node.isSynced) yield () => this.#step(world, id, { kind: "sync" });
    for (const [id, node] of nodes) {
      if (node.role === "leader" && budget.append > 0) yield () => this.#spend(world, "append", id, { kind: "append" });
    }
    for (const [id, node] of nodes) {
      if (node.isTimed && budget.timer > 0) yield () => this.#spend(world, "timer", id, { kind: "timer" });
    }
    for (const [id, node] of nodes) yield* this.#faults(world, id, node);
    if (silent !== undefined) yield () => this.#renew({ ...world, silent: undefined }, silent);
  }

  *#faults(world: World, id: string, node: Known): Generator<() => World> {
    const { budget, silent } = world;
    if (budget.restart > 0) yield () => this.#restart({ ...world, budget: less(budget, "restart") }, id, false);
    const others = [...world.nodes.values()].filter((other) => other !== node);
    if (budget.wipe > 0 && others.every(({ isDoubtful }) => !isDoubtful)) {
      yield () => this.#restart({ ...world, budget: less(budget, "wipe") }, id, true);
    }
    if (silent !== undefined || budget.silence === 0) return;
    yield () => this.#silence({ ...world, silent: id, budget: less(budget, "silence") }, id);
  }

  #silence(world: World, id: string): World {
    const others = VOTERS.filter((other) => other !== id);
    return others.reduce((next, other) => this.#step(next, other, { kind: "lost", peer: id }), world);
  }

  #spend(world: World, what: keyof Budget, id: string, step: Step): World {
    return this.#step({ ...world, budget: less(world.budget, what) }, id, step);
  }

  /** All sessions with `id` are new ones. */
  #renew(world: World, id: string): World {
    let next: World = { ...world, letters: this.#without(world.letters, id) };
    for (const other of VOTERS) {
      if (other === id) continue;
      next = this.#step(next, id, { kind: "found", peer: other });
      next = this.#step(next, other, { kind: "found", peer: id });
    }
    return next;
  }

  #restart(world: World, id: string, isWiped: boolean): World {
    const up = VOTERS.filter((other) => other !== id && other !== world.silent);
    let next: World = { ...world, letters: this.#without(world.letters, id) };
    if (world.silent === id) next = { ...next, silent: undefined };
    next = this.#step(next, id, { kind: "restart", isWiped, up });
    for (const other of up) next = this.#step(next, other, { kind: "found", peer: id });
    return next;
  }

  #without(letters: readonly number[], id: string): number[] {
    return letters.filter((letter) => this.#letters[letter]!.from !== id && this.#letters[letter]!.to !== id);
  }

  /** What arrives next from each to each: a session keeps the order. */
  #firstLetters(letters: readonly number[]): number[] {
    return letters.filter((letter, at) => at === 0 || this.#link(letters[at - 1]!) !== this.#link(letter));
  }

  /** Letters of one link together, in their order. */
  #inOrder(letters: readonly number[]): number[] {
    return letters.toSorted((one, other) =>
      this.#link(one) < this.#link(other) ? -1 : this.#link(one) > this.#link(other) ? 1 : 0
    );
  }

  #link(letter: number): string {
    const { from, to } = this.#letters[letter]!;
    return from + to;
  }

  #deliver(world: World, id: number): World {
    const letter = this.#letters[id]!;
    return this.#step({ ...world, letters: world.letters.filter((other) => other !== id) }, letter.to, {
      kind: "letter",
      letter,
    });
  }

  #step(world: World, id: string, step: Step): World {
    const known = this.#known(id, world.nodes.get(id), step);
    const nodes = new Map(world.nodes).set(id, known);
    const sent = known.outbox.filter((letter) => !world.letters.includes(letter) && id !== world.silent);
    const letters = [...world.letters, ...sent];
    const path = {
      line: `${id} ${describe(step)} -> ${known.role} e${known.epoch} ${known.commit}`,
      before: world.path,
    };
    return this.#checked({ ...world, nodes, letters: this.#inOrder(letters), path }, id);
  }

  #checked(world: World, id: string): World {
    const { role, epoch, commit, log } = world.nodes.get(id)!;
    const led = [...world.led];
    if (role === "leader") {
      if (led[epoch] !== undefined && led[epoch] !== id) {
        throw broken(`${led[epoch]} and ${id} lead epoch ${epoch}`, world);
      }
      for (let at = 0; at <= epoch; at++) led[at] ??= at === epoch ? id : "";
      if (led[epoch] === "") led[epoch] = id;
    }
    const committed = [...world.committed];
    for (let seq = 1; seq <= Math.min(commit, log.length); seq++) {
      const [entry, before] = [log[seq - 1]!, committed[seq - 1] ??= log[seq - 1]!];
      if (entry.epoch !== before.epoch || entry.value !== before.value) {
        throw broken(`entry ${seq} of ${id} is another`, world);
      }
    }
    return { ...world, led, committed };
  }

  /** The node after `step`, found or played anew. */
  #known(id: string, before: Known | undefined, step: Step | undefined): Known {
    const after = `${id} ${before?.key} ${JSON.stringify(step)}`;
    const found = this.#after.get(after);
    if (found) return found;
    const steps: Step[] = step ? [step] : [];
    for (let at = before; at?.step; at = at.before) steps.push(at.step);
    const node = new ExploredNode(id);
    for (const past of steps.reverse()) node.step(past);
    const known: Known = {
      key: this.#nodes++,
      before,
      step,
      role: node.machine.role,
      epoch: node.machine.epoch,
      commit: node.machine.commit,
      log: [...node.log],
      isSynced: node.syncedCount === node.log.length,
      isTimed: node.wakeMs !== undefined,
      isDoubtful: node.machine.isDoubtful,
      outbox: step ? node.outbox.map((letter) => this.#idOf(letter)) : [],
    };
    this.#after.set(after, known);
    return known;
  }

  #idOf(letter: Letter): number {
    const text = JSON.stringify(letter);
    const known = this.#letterIds.get(text);
    if (known !== undefined) return known;
    this.#letterIds.set(text, this.#letters.length);
    return this.#letters.push(letter) - 1;
  }
}

function less(budget: Budget, what: keyof Budget): Budget {
  return { ...budget, [what]: budget[what] - 1 };
}

function keyOf({ nodes, letters, silent, budget, led }: World): string {
  return [...[...nodes.values()].map(({ key }) => key), letters, silent, Object.values(budget), led].join(" ");
}

function describe(step: Step): string {
  if (step.kind !== "letter") return JSON.stringify(step);
  const { from, message: { type, epoch } } = step.letter;
  return `hears ${type} of ${from}, epoch ${epoch}`;
}

function broken(what: string, { path }: World): Error {
  const lines: string[] = [];
  for (let at = path; at; at = at.before) lines.push(at.line);
  return new Error(`${what}, after\n${lines.reverse().join("\n")}`);
}
