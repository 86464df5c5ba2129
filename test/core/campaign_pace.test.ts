import { describe, expect, test } from "bun:test";
import { CampaignPace, CAMPAIGNS_BURST, CAMPAIGNS_PER_SECOND } from "../../src/core/campaign_pace.ts";

describe("CampaignPace", () => {
  test("lets a burst begin at once, and what comes then one after the other", () => {
    const pace = new CampaignPace();
    const waits = Array.from({ length: CAMPAIGNS_BURST + CAMPAIGNS_PER_SECOND }, () => pace.take(1_000));
    expect(waits.filter((waitMs) => waitMs === 0).length).toBe(CAMPAIGNS_BURST);
    expect(Math.round(waits.at(-1)!)).toBe(1_000);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
  });

  test("has a whole burst again after a quiet time", () => {
    const pace = new CampaignPace();
    for (let turn = 0; turn < 3 * CAMPAIGNS_BURST; turn++) pace.take(0);
    const waits = Array.from({ length: CAMPAIGNS_BURST }, () => pace.take(60_000));
    expect(waits.every((waitMs) => waitMs === 0)).toBe(true);
  });
});
