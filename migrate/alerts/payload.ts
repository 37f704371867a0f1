import { createHash } from 'node:crypto';
import { z } from 'zod';

/**
 * What Alertmanager posts to a webhook (version 4 of its message: prometheus.io, Alerting, Configuration, webhook_config), and
 * what Grafana does (version 1: grafana.com, Alerting, webhook notifier), which has the same alerts in it. Both add fields as
 * they please: what is not needed here is not looked at.
 */
const alert = z.object({
  status: z.enum(['firing', 'resolved']),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()).default({}),
  /** RFC 3339 with any offset; the end of one that fires is the year 1, or in the future. */
  startsAt: z.iso.datetime({ offset: true }),
  /** Alertmanager before 0.19 has none. */
  fingerprint: z.string().min(1).max(128).optional(),
});

export const alertMessage = z.object({
  version: z.enum(['4', '1']),
  /** Of the whole group; that of each alert is what counts. */
  status: z.enum(['firing', 'resolved']),
  alerts: z.array(alert),
  /** Alerts that did not fit in, by the settings of the sender. */
  truncatedAlerts: z.number().default(0),
});

export type AlertMessage = z.infer<typeof alertMessage>;
export type Alert = Omit<z.infer<typeof alert>, 'fingerprint'> & { readonly fingerprint: string };

/** An alert is who it is by its labels: that is what a fingerprint says, where there is one. */
export function alertsOf({ alerts }: AlertMessage): readonly Alert[] {
  return alerts.map((each) => ({ ...each, fingerprint: each.fingerprint ?? fingerprintOf(each.labels) }));
}

function fingerprintOf(labels: Readonly<Record<string, string>>): string {
  const sorted = Object.keys(labels).sort();
  const hash = createHash('sha256').update(JSON.stringify(sorted.map((name) => [name, labels[name]])));
  return hash.digest('hex').slice(0, 16);
}
