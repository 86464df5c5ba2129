import { meshCuts } from "./mesh_cuts.ts";

meshCuts({ minutes: 1_000, seeds: [1, 2], deadlineMs: 120_000 });
