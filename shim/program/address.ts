/** A TCP address as people write it: `host:port`, IPv6 in brackets. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const portMax = 65_535;

/** `db.example:1521`, `[::1]:1521`, or undefined when the text is neither. Port 0 means: any free port. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > portMax) return undefined;
  return { host, port };
}

export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
