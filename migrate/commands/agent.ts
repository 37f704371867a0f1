import { ConfigError, option, optional, required } from '../../shim/program/config.js';
import { errorText } from '../../shim/program/errors.js';
import { defineCommand } from '../../shim/program/run.js';
import { loadSecurity, securityOptions } from '../../shim/program/security.js';
import { duration, flag, name, path, text } from '../../shim/program/values.js';
import { startAgent } from '../agent.js';
import { alertOptions, startAlerts } from '../alerts/options.js';
import { agentAddress, clusterOptions, loadCluster } from '../cluster.js';
import { movesMsMax } from '../limits.js';
import type { Node } from '../node.js';
import { loadMonitor } from '../preflight/monitor.js';
import { waitUntil } from '../workload/process.js';
import { Store } from '../workload/store.js';

export const agent = defineCommand({
  name: 'agent',
  summary: 'Starts, lists and moves the workloads of this node; runs on every node.',
  options: {
    node: required(name(), 'name of this node in the cluster file, which also says where the agent listens'),
    'state-dir': option(path('DIR'), '/var/lib/holdfast', 'directory that all nodes share, for logs and images'),
    'image-dir': optional(
      path('DIR'),
      'directory of this node alone for images, which agents then send to each other; in --state-dir when left out',
    ),
    'keep-image': option(
      flag(),
      'false',
      'leave images where they are after a move; they hold the memory of applications',
    ),
    criu: option(text('PATH'), 'criu', 'the CRIU to freeze and restore with'),
    runc: option(text('PATH'), 'runc', 'the runc that starts and moves containers (holdfast run --bundle)'),
    podman: option(text('PATH'), 'podman', 'the podman that starts and moves containers (holdfast run --image)'),
    'monitor-file': optional(
      path(),
      'YAML file with connect-string, user and password of an account that may read limits of the database, for preflight',
    ),
    'workload-keys': optional(
      path('DIR'),
      'directory with workload-NAME.pem for the shims started here; that of --tls-cert when left out',
    ),
    'hooks-dir': optional(
      path('DIR'),
      'directory with programs that run at points of a move: pre-detach, post-restore, post-bind, on-abort; and on-alert',
    ),
    'hook-timeout': option(duration(), '10s', 'time for one of them; then it is killed'),
    ...alertOptions,
    ...clusterOptions,
    ...securityOptions,
  },
  examples: [
    [
      'holdfast agent --node node-a --cluster /etc/holdfast/cluster.yaml --secret-file /etc/holdfast/secret',
      'On node-a',
    ],
  ],
  async main({ settings, log, onStop, serve }) {
    const cluster = loadCluster(settings.cluster);
    const busy = new Set<string>();
    // After the control port: no new move begins, and those under way do not leave an application frozen.
    onStop('moves', () => waitUntil(() => busy.size === 0, movesMsMax));
    const node: Node = {
      name: settings.node,
      cluster,
      security: loadSecurity(settings, { role: 'agent', name: settings.node }, log),
      securitySettings: settings,
      workloadKeys: settings.workloadKeys,
      store: openStore(settings),
      tools: { criu: settings.criu, runc: settings.runc, podman: settings.podman },
      ...(settings.monitorFile === undefined ? {} : { monitor: loadMonitor(settings.monitorFile) }),
      ...(settings.hooksDir === undefined
        ? {}
        : { hooks: { directory: settings.hooksDir, timeoutMs: settings.hookTimeout } }),
      log,
      busy,
      moves: new Map(),
    };
    const server = await startAgent(node);
    onStop('control', () => server.close());
    onStop('evacuation', () => node.evacuation?.interrupt('the agent is being stopped'));
    const alerts = await startAlerts(node, settings);
    onStop('alerts', () => alerts?.close());
    log.info({ node: settings.node, listen: agentAddress(cluster, settings.node) }, 'agent ready');
    await serve();
    return 0;
  },
});

function openStore(settings: { stateDir: string; imageDir: string | undefined; keepImage: boolean }): Store {
  const { stateDir: directory, imageDir: images, keepImage: keepImages } = settings;
  try {
    return new Store(directory, process.getuid?.(), { images, keepImages });
  } catch (cause) {
    throw new ConfigError(
      'bad-option',
      `--state-dir: ${directory}${images === undefined ? '' : `, or --image-dir: ${images}`} cannot be used: ${errorText(cause)}`,
      { cause },
    );
  }
}
