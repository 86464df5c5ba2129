import { meshCuts } from "./mesh_cuts.ts";

meshCuts({ minutes: 20, seeds: [1], deadlineMs: 20_000 });
