import { createHash, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { listenAt } from '../../shim/program/listen.js';
import type { Logger } from '../../shim/program/log.js';
import { alertBytesMax, alertConnectionsMax, alertRequestMsMax } from '../limits.js';
import { type AlertMessage, alertMessage } from './payload.js';

export interface AlertServerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** What senders must know; asked for with each request, so that it can be changed. Throws when it cannot be read. */
  readonly token: () => string;
  /** PEM; plain HTTP without. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** @returns the body of the answer */
  readonly receive: (message: AlertMessage) => object;
  readonly log: Logger;
}

export interface AlertServer {
  readonly port: number;
  close(): Promise<void>;
}

interface Reply {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

const path = '/alerts';

/**
 * Takes alerts at POST /alerts. A sender that is told 4xx gives up (it is wrong), at 5xx it comes again.
 * @throws {ListenError} address-in-use, bad-address
 */
export async function serveAlerts(options: AlertServerOptions): Promise<AlertServer> {
  const limits = { headersTimeout: alertRequestMsMax, requestTimeout: alertRequestMsMax };
  const { tls } = options;
  const server =
    tls === undefined ? http.createServer(limits) : https.createServer({ ...limits, ...tls, minVersion: 'TLSv1.2' });
  server.maxConnections = alertConnectionsMax;
  server.on('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
    void answer(options, request).then(({ status, body, headers }) => {
      if (status >= 400)
        options.log.warn({ status, from: request.socket.remoteAddress, ...body }, 'alerts were refused');
      // Thrown away, for as long as a request may take: a connection that is closed over unread bytes loses the answer.
      request.resume();
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(`${JSON.stringify(body)}\n`);
    });
  });
  const port = await listenAt(server, options.listen);
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer({ token, receive, log }: AlertServerOptions, request: http.IncomingMessage): Promise<Reply> {
  try {
    if (!isBearer(request.headers.authorization, token())) {
      const headers = { 'www-authenticate': 'Bearer' };
      return { ...refusal(401, 'not-authorised', 'the bearer token is missing or wrong'), headers };
    }
    if (request.url?.split('?')[0] !== path) return refusal(404, 'not-found', `alerts are taken at ${path}`);
    if (request.method !== 'POST') {
      return { ...refusal(405, 'bad-method', 'alerts are posted'), headers: { allow: 'POST' } };
    }
    const text = await readBody(request);
    if (text === undefined) return refusal(413, 'too-large', `a message has at most ${alertBytesMax} bytes`);
    const parsed = alertMessage.safeParse(parseJson(text));
    if (parsed.success) return { status: 200, body: receive(parsed.data) };
    const [issue] = parsed.error.issues;
    return refusal(
      400,
      'bad-alerts',
      `${issue?.path.join('.') || 'the message'}: ${issue?.message ?? 'not understood'}`,
    );
  } catch (err) {
    log.error({ err }, 'alerts could not be taken');
    return refusal(500, 'internal', 'the alerts could not be taken; the log says why');
  }
}

function refusal(status: number, code: string, message: string): Reply {
  return { status, body: { error: { code, message } } };
}

/** Digests have the same length, so the time it takes says nothing of the token. */
function isBearer(header: string | undefined, token: string): boolean {
  const presented = /^Bearer (\S+)$/i.exec(header ?? '')?.[1] ?? '';
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(presented), digest(token)) && presented !== '';
}

/** @returns undefined when it is longer than allowed, as announced or as it comes */
async function readBody(request: http.IncomingMessage): Promise<string | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > alertBytesMax) return undefined;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > alertBytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
