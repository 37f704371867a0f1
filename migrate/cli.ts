#!/usr/bin/env node
import { runPrograms } from '../shim/program/run.js';
import { agent } from './commands/agent.js';
import { nodes, sessions, workloads } from './commands/lists.js';
import { move } from './commands/move.js';
import { run } from './commands/run.js';
import { stop } from './commands/stop.js';

await runPrograms('holdfast', 'Moves applications between hosts while their Oracle sessions and transactions go on.', {
  agent,
  run,
  move,
  sessions,
  workloads,
  ps: workloads,
  nodes,
  stop,
});
