#!/usr/bin/env node
import { defineGroup, runPrograms } from '../shim/program/run.js';
import { agent } from './commands/agent.js';
import { awaitCommand } from './commands/await.js';
import { doctor } from './commands/doctor.js';
import { evacuate } from './commands/evacuate.js';
import { history, show, verify } from './commands/history.js';
import { hold, holds } from './commands/holds.js';
import { injectCommands } from './commands/inject.js';
import { keys } from './commands/keys.js';
import { nodes, sessions, workloads } from './commands/lists.js';
import { move, resumeMove } from './commands/move.js';
import { preflight } from './commands/preflight.js';
import { proxy } from './commands/proxy.js';
import { rebalance } from './commands/rebalance.js';
import { injectRun, rehearse } from './commands/rehearse.js';
import { run } from './commands/run.js';
import { stop } from './commands/stop.js';

const guide = `
First steps:
  1. A cluster file says where everything is; all commands read the same one:
       nodes:
         node-a: { agent: 10.0.0.2:7410 }
         node-b: { agent: 10.0.0.3:7410 }
       proxy: { data: 10.0.0.1:7400, control: 10.0.0.1:7401 }
  2. A secret, the same on all hosts, protects what they say to each other:
       (umask 077; openssl rand -base64 32 > /etc/holdfast/secret)
     Or certificates, which also say who may do what: see holdfast keys --help
  3. Say once where both are, then start the proxy and an agent on each node:
       export HOLDFAST_CLUSTER=/etc/holdfast/cluster.yaml
       export HOLDFAST_SECRET_FILE=/etc/holdfast/secret
       holdfast-proxy --database dbhost:1521 --control-listen 0.0.0.0:7401
       holdfast agent --node node-a
  4. Start an application whose database address is 127.0.0.1:1521, and move it:
       holdfast run --name orders -- node orders.js
       holdfast sessions
       holdfast preflight orders --to node-b
       holdfast move orders --to node-b

Exit codes: 0 done; 1 failed, with one line "code: reason" on stderr; 2 wrong
use. What each code means is in docs/errors.md.
`;

await runPrograms(
  'holdfast',
  'Moves applications between hosts while their Oracle sessions and transactions go on.',
  {
    agent,
    doctor,
    run,
    preflight,
    move,
    'resume-move': resumeMove,
    history,
    show,
    verify,
    evacuate,
    rebalance,
    sessions,
    workloads,
    nodes,
    holds,
    hold,
    await: awaitCommand,
    proxy,
    stop,
    inject: defineGroup('Injects faults into sessions, to see what applications make of them.', {
      run: injectRun,
      ...injectCommands,
    }),
    rehearse,
    keys,
  },
  guide,
);
