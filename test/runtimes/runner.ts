// What the harness needs of the runtime's own test runner. On Deno that is `Deno.test`: its `node:test` passes a file that
// throws while it is read, once a test is registered (Deno 2.9.6).

export interface Runner {
  run(name: string, body: () => Promise<void>): void;
  skip(name: string): void;
  /** Runs `body` after the last test of the file. */
  afterFile(body: () => Promise<void>): void;
}

export const runner: Runner = "Deno" in globalThis ? denoRunner() : await nodeRunner();

/** A rejection that nobody handles fails the test that runs, and not, as Deno has it, all that follow in the file. */
function denoRunner(): Runner {
  let loose: unknown[] | undefined;
  globalThis.addEventListener("unhandledrejection", (event) => {
    if (loose === undefined) return;
    event.preventDefault();
    loose.push((event as PromiseRejectionEvent).reason);
  });
  const watched = (body: () => Promise<void>) => async () => {
    const found: unknown[] = loose = [];
    try {
      await body();
    } finally {
      loose = undefined;
    }
    if (found.length > 0) throw found[0];
  };
  const lenient = { sanitizeOps: false, sanitizeResources: false, sanitizeExit: false };
  return {
    run: (name, body) => Deno.test({ name, fn: watched(body), ...lenient }),
    skip: (name) => Deno.test({ name, fn: () => {}, ignore: true }),
    afterFile: (body) => Deno.test.afterAll(body),
  };
}

/** How long after its last test a file may take to end by itself. */
const LINGER_MS = 2000;

async function nodeRunner(): Promise<Runner> {
  const { after, test } = await import("node:test");
  const { default: process } = await import("node:process");
  // As on the two others, a handle left open does not keep a file from ending. Not `--test-force-exit`: it ends the process
  // before all results are written, and tests vanish from the report (Node 26.10).
  const leave = () => {
    process.stderr.write(`left open after the last test: ${process.getActiveResourcesInfo().join(", ")}\n`);
    process.exit();
  };
  return {
    run: (name, body) => void test(name, body),
    skip: (name) => void test(name, { skip: true }, () => {}),
    afterFile: (body) =>
      after(async () => {
        setTimeout(leave, LINGER_MS).unref();
        await body();
      }),
  };
}
