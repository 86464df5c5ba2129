// A scenario's text: `# prose`, `> command`, and after each command the lines that it must print, up to a blank line.

export interface Step {
  /** Prose and blank lines before the command, as they stand. */
  readonly before: readonly string[];
  readonly command: string;
  readonly expected: readonly string[];
  readonly line: number;
}

export interface Script {
  readonly steps: readonly Step[];
  /** Prose after the last command. */
  readonly after: readonly string[];
}

export function parseScript(text: string): Script {
  const steps: Step[] = [];
  let before: string[] = [];
  let current: { command: string; expected: string[]; before: string[]; line: number } | undefined;
  for (const [index, line] of text.replace(/\n$/, "").split("\n").entries()) {
    if (line.startsWith("> ")) {
      if (current) steps.push(current);
      current = { before, command: line.slice(2).trim(), expected: [], line: index + 1 };
      before = [];
    } else if (current && line !== "" && !line.startsWith("#")) current.expected.push(line);
    else if (line !== "" && !line.startsWith("#")) throw new SyntaxError(`line ${index + 1}: output before a command`);
    else {
      if (current) steps.push(current);
      current = undefined;
      before.push(line);
    }
  }
  if (current) steps.push(current);
  return { steps, after: before };
}

/** The text of `script` with the lines that its commands have really printed, each followed by a blank line. */
export function formatScript({ steps, after }: Script, outputs: readonly (readonly string[])[]): string {
  const lines = steps.flatMap(({ before, command }, index) => {
    const isAfterOutput = index > 0 && outputs[index - 1]!.length > 0;
    const gap = isAfterOutput && before.length === 0 ? [""] : [];
    return [...gap, ...before, `> ${command}`, ...outputs[index]!];
  });
  return `${[...lines, ...after].join("\n").trimEnd()}\n`;
}
