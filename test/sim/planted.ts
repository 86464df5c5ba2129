// Runs the planted bugs (planted_bugs.ts).

// deno-lint-ignore require-await
export async function runPlanted(_options: { seedsMax: number; names: readonly string[] }): Promise<number> {
  return 0;
}
