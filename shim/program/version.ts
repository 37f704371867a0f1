import { readTextFile } from './values.js';

let known: string | undefined;

/** The version of the package that this program is from. */
export function programVersion(): string {
  known ??= read();
  return known;
}

function read(): string {
  const file = new URL('../../../package.json', import.meta.url);
  const content: unknown = JSON.parse(readTextFile(file.pathname));
  if (typeof content !== 'object' || content === null || !('version' in content)) return 'unknown';
  return String(content.version);
}
