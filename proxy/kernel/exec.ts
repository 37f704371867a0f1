/**
 * Makes another program of this process: same process id, same parent, and those of its descriptors that are named. For Node.js
 * before 23 that is execve(2) itself. Its other threads end with it, as do all descriptors that are not named.
 */
import koffi, { type KoffiFunc } from 'koffi';

const libc = koffi.load(null);
const execve: KoffiFunc<(path: string, words: readonly (string | null)[], env: readonly (string | null)[]) => number> =
  libc.func('int execve(const char *path, const char **words, const char **env)');
const fcntl: KoffiFunc<(fd: number, command: number, type: 'int', value: number) => number> = libc.func(
  'int fcntl(int fd, int command, ...)',
);

const setFlags = 2;
const closeOnExec = 1;

/**
 * Does not return.
 * @param program file, and its words without the first
 * @param kept descriptors that go along, besides the first three
 * @throws when it cannot be done; then everything is as before
 */
export function becomeProgram(
  program: string,
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  kept: Iterable<number>,
): never {
  // Node.js marks all that it is given to be closed, the standard ones too.
  const descriptors = [0, 1, 2, ...kept];
  for (const fd of descriptors) fcntl(fd, setFlags, 'int', 0);
  const lines = Object.entries(environment).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  execve(program, [program, ...words, null], [...lines, null]);
  const errno = koffi.errno();
  for (const fd of descriptors) fcntl(fd, setFlags, 'int', closeOnExec);
  throw new Error(`${program} cannot be started: error ${errno}`);
}
