import { TnsError, type TnsSource } from './errors.js';
import { limits } from './limits.js';

/** `(NAME=value)` or `(NAME=(...)(...))`; names are upper case. */
export interface DescriptorNode {
  readonly name: string;
  readonly value: string;
  readonly children: readonly DescriptorNode[];
}

/**
 * Parses a descriptor text such as connect data or a redirect address.
 * @throws TnsError descriptor-invalid
 */
export function parseDescriptor(text: string, source: TnsSource): DescriptorNode {
  const cursor = { text, at: 0, source };
  const node = parseNode(cursor, 1);
  skipSpace(cursor);
  // A REFUSE or REDIRECT text may end in NUL or newline.
  if (/[^\s\0]/.test(text.slice(cursor.at))) {
    throw invalid(cursor, 'text behind the last bracket');
  }
  return node;
}

/** The first value at a path of names below the root, e.g. `CONNECT_DATA`, `SERVICE_NAME`. */
export function descriptorValue(node: DescriptorNode, ...path: readonly string[]): string | undefined {
  const [name, ...rest] = path;
  if (name === undefined) {
    return node.value;
  }
  for (const child of node.children) {
    if (child.name === name) {
      const found = descriptorValue(child, ...rest);
      if (found !== undefined) {
        return found;
      }
    }
  }
  return undefined;
}

/** The first node of a name, the root included, depth first. */
export function findDescriptor(node: DescriptorNode, name: string): DescriptorNode | undefined {
  return findDescriptors(node, name)[0];
}

/** All nodes of a name, the root included, in the order of the text; what is below one of them is not looked at. */
export function findDescriptors(node: DescriptorNode, name: string): readonly DescriptorNode[] {
  return node.name === name ? [node] : node.children.flatMap((child) => findDescriptors(child, name));
}

interface Cursor {
  readonly text: string;
  readonly source: TnsSource;
  at: number;
}

function parseNode(cursor: Cursor, depth: number): DescriptorNode {
  if (depth > limits.descriptorDepthMax) {
    throw invalid(cursor, `nested deeper than ${limits.descriptorDepthMax}`);
  }
  expect(cursor, '(');
  const name = until(cursor, /[=()]/).toUpperCase();
  expect(cursor, '=');
  skipSpace(cursor);
  const children: DescriptorNode[] = [];
  let value = '';
  if (cursor.text[cursor.at] === '(') {
    while (cursor.text[cursor.at] === '(') {
      children.push(parseNode(cursor, depth + 1));
      skipSpace(cursor);
    }
  } else {
    value = readValue(cursor);
  }
  expect(cursor, ')');
  return { name, value, children };
}

/** Quoted values may hold brackets; a backslash takes the next character as it is. */
function readValue(cursor: Cursor): string {
  const quote = cursor.text[cursor.at];
  if (quote === '"' || quote === "'") {
    const end = cursor.text.indexOf(quote, cursor.at + 1);
    if (end < 0) {
      throw invalid(cursor, 'quote without end');
    }
    const value = cursor.text.slice(cursor.at + 1, end);
    cursor.at = end + 1;
    return value;
  }
  let value = '';
  for (let next = cursor.text[cursor.at]; next !== undefined && next !== ')' && next !== '('; ) {
    if (next === '\\') {
      cursor.at++;
      next = cursor.text[cursor.at] ?? '';
    }
    value += next;
    cursor.at++;
    next = cursor.text[cursor.at];
  }
  return value.trim();
}

function until(cursor: Cursor, stop: RegExp): string {
  const start = cursor.at;
  while (cursor.at < cursor.text.length && !stop.test(cursor.text[cursor.at] ?? '')) {
    cursor.at++;
  }
  return cursor.text.slice(start, cursor.at).trim();
}

function expect(cursor: Cursor, character: string): void {
  skipSpace(cursor);
  if (cursor.text[cursor.at] !== character) {
    throw invalid(cursor, `expected ${character}`);
  }
  cursor.at++;
}

function skipSpace(cursor: Cursor): void {
  while (/\s/.test(cursor.text[cursor.at] ?? '')) {
    cursor.at++;
  }
}

function invalid(cursor: Cursor, what: string): TnsError {
  return new TnsError('descriptor-invalid', cursor.source, `descriptor: ${what} at character ${cursor.at}`);
}
