import { expect, test } from "bun:test";
import { deferred } from "../../src/lib/deferred.ts";

test("a deferred is settled from outside, once", async () => {
  const answer = deferred<number>();
  answer.resolve(1);
  answer.resolve(2);
  expect(await answer.promise).toBe(1);
});

test("a rejection that nobody awaits is not reported; one who awaits it later sees it", async () => {
  const answer = deferred();
  answer.reject(new Error("gone"));
  await new Promise((resolve) => setTimeout(resolve, 5));
  await expect(answer.promise).rejects.toThrow("gone");
});
