/** Messages in the shape of the real senders, of machines that do not exist. */

export interface TestAlert {
  readonly status?: 'firing' | 'resolved';
  readonly labels: Readonly<Record<string, string>>;
  readonly fingerprint?: string;
  readonly startsAt?: string;
}

const firstTime = '2026-03-02T09:30:00.500Z';

/** As Alertmanager sends it: version 4, an end in the year 1 for what fires, a key of the group. */
export function alertmanagerMessage(...alerts: readonly TestAlert[]) {
  return {
    receiver: 'holdfast',
    status: alerts.some(({ status }) => status !== 'resolved') ? 'firing' : 'resolved',
    alerts: alerts.map(({ status = 'firing', labels, fingerprint, startsAt = firstTime }) => ({
      status,
      labels,
      annotations: { summary: 'A disk will not last', runbook: 'https://wiki.example/disks' },
      startsAt,
      endsAt: status === 'firing' ? '0001-01-01T00:00:00Z' : '2026-03-02T09:45:00.500Z',
      generatorURL: 'http://prometheus.example:9090/graph?g0.expr=smart_failing&g0.tab=1',
      ...(fingerprint === undefined ? {} : { fingerprint }),
    })),
    groupLabels: { alertname: 'DiskFailing' },
    commonLabels: { alertname: 'DiskFailing' },
    commonAnnotations: {},
    externalURL: 'http://alertmanager.example:9093',
    version: '4',
    groupKey: '{}/{team="dba"}:{alertname="DiskFailing"}',
    truncatedAlerts: 0,
  };
}

/** As Grafana sends it: version 1, an organisation, links of its own, values; times with the offset of its host. */
export function grafanaMessage(...alerts: readonly TestAlert[]) {
  const { groupLabels, commonLabels, commonAnnotations, groupKey, ...message } = alertmanagerMessage(...alerts);
  return {
    ...message,
    ...{ orgId: 3, groupLabels, commonLabels, commonAnnotations, groupKey },
    alerts: message.alerts.map((alert) => ({
      ...alert,
      startsAt: '2026-03-02T10:30:00.500123+01:00',
      generatorURL: 'https://grafana.example/alerting/a1/edit',
      silenceURL: 'https://grafana.example/alerting/silence/new?alertmanager=grafana',
      dashboardURL: '',
      panelURL: '',
      values: { A: 3.5, C: 1 },
      valueString: "[ var='A' labels={} value=3.5 ]",
      orgId: 3,
    })),
    externalURL: 'https://grafana.example/',
    version: '1',
    title: '[FIRING:1] DiskFailing',
    state: 'alerting',
    message: 'A disk will not last',
  };
}
