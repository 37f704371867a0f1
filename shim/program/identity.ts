/**
 * Who a part of Holdfast is. A certificate says it in one URI among its alternative names: `holdfast://proxy`,
 * `holdfast://agent/node-a`, `holdfast://workload/orders`. Roles stand in for host names: a moved workload has another host,
 * agents and proxies are reached by whatever address their cluster file has, and a stolen certificate of a workload must not
 * pass for a proxy because its host once ran both.
 */
export const roles = ['proxy', 'agent', 'operator', 'workload'] as const;
export type Role = (typeof roles)[number];

export interface Identity {
  readonly role: Role;
  /** Of a workload: which one. Of all others: a node or a person; without one the certificate is good for any. */
  readonly name?: string;
}

/** Who is at the other end of a socket, and how that is known. */
export type Peer =
  | { readonly kind: 'certified'; readonly identity: Identity }
  /** Whoever holds the secret, is on this machine, or may open the socket's file may do everything. */
  | { readonly kind: 'trusted'; readonly by: 'secret' | 'plaintext' | 'file-mode' }
  /** A certificate of the right authority that names no role, or more than one. */
  | { readonly kind: 'nameless' };

const scheme = 'holdfast://';
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** `proxy`, `agent:node-a`, `workload:orders`, or undefined when the text is none of these. */
export function parseIdentity(text: string): Identity | undefined {
  return fromWords(text, ':');
}

export function identityText({ role, name }: Identity): string {
  return name === undefined ? role : `${role}:${name}`;
}

export function identityUri({ role, name }: Identity): string {
  return name === undefined ? `${scheme}${role}` : `${scheme}${role}/${name}`;
}

/**
 * The identity in the alternative names of a certificate, as Node.js prints them: `URI:holdfast://proxy, DNS:db.example`.
 * Undefined unless there is exactly one. Names with a comma or a control character are printed as a JSON text in quotes, in
 * which a forged "URI:" could stand: such a list is not taken at all (the quoting came with CVE-2021-44532).
 */
export function identityOf(subjectAltName: string | undefined): Identity | undefined {
  if (subjectAltName === undefined || subjectAltName.includes('"')) return undefined;
  const ours = subjectAltName.split(', ').filter((each) => each.startsWith(`URI:${scheme}`));
  const [first] = ours;
  if (first === undefined || ours.length > 1) return undefined;
  return fromWords(first.slice(`URI:${scheme}`.length), '/');
}

/** Name of the file that `holdfast keys issue` makes, certificate and key in one, so that both are replaced at one stroke. */
export function keyFileName({ role, name }: Identity): string {
  return `${name === undefined ? role : `${role}-${name}`}.pem`;
}

/** Is `found` who was expected? A name counts only where both have one. */
export function isExpected(expected: Identity, found: Identity): boolean {
  if (expected.role !== found.role) return false;
  return expected.name === undefined || found.name === undefined || expected.name === found.name;
}

/** Why this peer may not bind the workload; undefined when it may. */
export function bindRefusal(peer: Peer, workload: string): string | undefined {
  if (peer.kind === 'trusted') return undefined;
  if (peer.kind === 'certified' && peer.identity.role === 'workload' && peer.identity.name === workload)
    return undefined;
  return `${peerText(peer)} may not bind workload ${workload}`;
}

/** Operators may call everything, all others what the verb allows them. */
export function mayCall(peer: Peer, callers: readonly Role[]): boolean {
  if (peer.kind === 'trusted') return true;
  return peer.kind === 'certified' && (peer.identity.role === 'operator' || callers.includes(peer.identity.role));
}

/** For log lines and refusals. */
export function peerText(peer: Peer): string {
  switch (peer.kind) {
    case 'certified':
      return identityText(peer.identity);
    case 'trusted':
      return `a peer trusted by ${peer.by}`;
    case 'nameless':
      return 'a certificate without a role';
  }
}

function fromWords(text: string, separator: string): Identity | undefined {
  const [word, name, ...rest] = text.split(separator);
  const role = roles.find((each) => each === word);
  if (role === undefined || rest.length > 0) return undefined;
  if (name === undefined) return role === 'workload' ? undefined : { role };
  return namePattern.test(name) ? { role, name } : undefined;
}
