import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { MoveError } from '../errors.js';
import { startMsMax, stopMsMax } from '../limits.js';
import type { Tools } from '../movers/mover.js';
import { isAlive, processState, processTree, readOrNothing, signal, waitUntil } from './process.js';
import type { ProcessIdentity, StoredWorkload } from './store.js';

/**
 * The first process of a workload: starts the shim, then the application; hands SIGTERM on, reaps what is left over, and
 * writes the application's exit status to a file, for whoever is its agent by then. In a process-id namespace of its own it
 * is process 1, and its end ends them all. /proc is the machine's, so the id it reads there is the one its agent sees.
 */
const initScript = `
# A container is given descriptors of its host.
exec </dev/null >/dev/null 2>&1
node=$1 shim=$2 dir=$3 cwd=$4
shift 4
asked= app_pid=
trap 'asked=1; [ -z "$app_pid" ] || kill -TERM "$app_pid" 2>/dev/null' TERM INT HUP
read -r pid rest </proc/self/stat
echo "$pid" >"$dir/pid.new" && mv "$dir/pid.new" "$dir/pid"
if ! (cd "$cwd" && command -v -- "$1" >/dev/null) 2>>"$dir/shim.log"; then
  [ -s "$dir/shim.log" ] || echo "there is no program $1" >>"$dir/shim.log"
  exit 127
fi
"$node" "$shim" --config "$dir/shim.yaml" >>"$dir/shim.log" 2>&1 &
shim_pid=$!
while [ ! -S "$dir/shim.sock" ]; do
  kill -0 $shim_pid 2>/dev/null || exit 125
  sleep 0.02
done
(cd "$cwd" && exec "$@") >>"$dir/app.log" 2>&1 &
app_pid=$!
[ -z "$asked" ] || kill -TERM $app_pid
: >"$dir/started"
status=
while :; do
  asked=
  wait $app_pid
  code=$?
  # A signal ends the waiting early; 127 then says that the application was waited for already.
  if [ $code -eq 127 ] && [ -n "$status" ]; then break; fi
  status=$code
  [ -n "$asked" ] || break
done
echo "$status" >"$dir/exit.new" && mv "$dir/exit.new" "$dir/exit"
kill -TERM $shim_pid 2>/dev/null
wait $shim_pid
exit "$status"
`;

export interface StartOptions {
  readonly name: string;
  readonly tools: Tools;
  readonly directory: string;
  /** Empty: that of the bundle or image. */
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Options of the shim, as in its YAML file. */
  readonly shim: Readonly<Record<string, string | boolean>>;
  /** Of the container that it is to be. */
  readonly bundle?: string | undefined;
  /** Of podman, likewise; and SOURCE:DESTINATION[:ro] for each mount. */
  readonly image?: string | undefined;
  readonly volumes?: readonly string[] | undefined;
  /** Needs root. */
  readonly isolated: boolean;
}

/** Where Holdfast is installed, with what it depends on. */
export const packageDirectory = new URL('../../..', import.meta.url).pathname;
const scriptName = 'init.sh';

/**
 * Writes what the first process of a workload reads.
 * @param shim options of the shim, as it sees them
 * @returns the files
 */
export function writeStart(directory: string, shim: StartOptions['shim']): string[] {
  const files = [join(directory, 'shim.yaml'), join(directory, scriptName)] as const;
  writeFileSync(files[0], stringify(shim), { mode: 0o600 });
  writeFileSync(files[1], initScript, { mode: 0o600 });
  return [...files];
}

/** The command line of the first process. @param directory where what was written is, as that process sees it */
export function initWords(
  directory: string,
  { node, shim, cwd }: { readonly node: string; readonly shim: string; readonly cwd: string },
  command: readonly string[],
): string[] {
  return ['sh', join(directory, scriptName), node, shim, directory, cwd, ...command];
}

/** Why nothing runs: the last that was said before it. */
export function startFailed(directory: string, program: string): MoveError {
  const log = readOrNothing(join(directory, 'shim.log'))?.trim().split('\n').at(-1);
  return new MoveError('start-failed', `the workload did not start: ${log || `${program} failed`}`);
}

/**
 * Starts a tree that does not depend on this process: a session of its own, no pipe in between.
 * @returns once the shim listens and the application has been started
 * @throws {MoveError} start-failed
 */
export async function startTree(options: StartOptions): Promise<ProcessIdentity & { readonly command: string[] }> {
  const { directory, cwd, command } = options;
  writeStart(directory, options.shim);
  const shim = join(packageDirectory, 'dist/shim/main.js');
  const init = initWords(directory, { node: process.execPath, shim, cwd }, command);
  // setsid comes after the fork: CRIU refuses a tree whose session leader is outside.
  const words = [...(options.isolated ? ['unshare', '--pid', '--fork', 'setsid'] : []), ...init];
  const [file = '', ...args] = words;
  // CRIU makes a directory in the first process's working directory, always with the same name: no two trees may share it.
  const child = spawn(file, args, { cwd: directory, detached: true, stdio: 'ignore', env: environment(options.env) });
  child.unref();
  const failed = new Promise<boolean>((resolve) => child.once('error', () => resolve(false)));
  const ready = () => existsSync(join(directory, 'started'));
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  const up = await Promise.race([failed, waitUntil(() => ready() || ended(), startMsMax)]);
  const pid = Number(readOrNothing(join(directory, 'pid')));
  const startTicks = processState(pid)?.startTicks;
  if (up && ready() && startTicks !== undefined) return { pid, startTicks, command: [...command] };
  if (startTicks !== undefined) signal(processTree(pid, options.isolated), 'SIGKILL');
  throw startFailed(directory, file);
}

/** Holdfast's own variables are for its own programs: they would win over the shim's file. io_uring cannot be frozen. */
function environment(env: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(env).filter(([name]) => !name.startsWith('HOLDFAST_'));
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', ...Object.fromEntries(kept), UV_USE_IO_URING: '0' };
}

/** SIGTERM to the application; after a while SIGKILL to all. */
export async function stopTree(workload: StoredWorkload): Promise<void> {
  const gone = () => !isAlive(workload.pid, workload.startTicks);
  if (gone()) return;
  signal([workload.pid], 'SIGTERM');
  if (await waitUntil(gone, stopMsMax)) return;
  await killTree(workload);
}

/** @returns whether nothing is left of it */
export async function killTree(workload: Pick<StoredWorkload, 'pid' | 'startTicks' | 'isolated'>): Promise<boolean> {
  const gone = () => !isAlive(workload.pid, workload.startTicks);
  if (gone()) return true;
  signal(processTree(workload.pid, workload.isolated), 'SIGKILL');
  return waitUntil(gone, stopMsMax);
}
