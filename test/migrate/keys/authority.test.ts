import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { hasSigned, issue, newAuthority } from '../../../migrate/keys/authority.js';
import { identity } from '../../shim/program/certificates.js';

t.test('an authority signs parts, and is no part itself; a part signs nobody', async (t) => {
  const authority = await newAuthority();
  const pem = await issue(authority, identity('workload:orders'), 30);
  const [ca, part] = [new X509Certificate(authority.certificate), new X509Certificate(pem)];
  t.same([ca.ca, part.ca], [true, false]);
  t.equal(part.subject, 'CN=workload:orders');
  t.equal(part.subjectAltName, 'URI:holdfast://workload/orders');
  t.ok(hasSigned(authority.certificate, pem));
  t.notOk(hasSigned((await newAuthority()).certificate, pem), 'another authority has not');
  t.match(pem, /BEGIN CERTIFICATE(.|\n)+BEGIN PRIVATE KEY/);
});

t.test('only proxies and agents may be servers', async (t) => {
  const authority = await newAuthority();
  const server = '1.3.6.1.5.5.7.3.1';
  const usages = async (who: string) => new X509Certificate(await issue(authority, identity(who), 1)).keyUsage;
  for (const who of ['proxy', 'agent']) t.ok((await usages(who))?.includes(server), who);
  for (const who of ['operator', 'workload:a']) t.strictSame(await usages(who), ['1.3.6.1.5.5.7.3.2'], who);
});

t.test(
  'a certificate ends after the days asked for, with the authority at the latest; no two have one number',
  async (t) => {
    const authority = await newAuthority();
    const short = new X509Certificate(await issue(authority, identity('proxy'), 10));
    const long = new X509Certificate(await issue(authority, identity('proxy'), 100_000));
    const days = (Date.parse(short.validTo) - Date.now()) / 86_400_000;
    t.ok(days > 9.9 && days <= 10, `${days}`);
    t.equal(long.validTo, new X509Certificate(authority.certificate).validTo);
    t.ok(Date.parse(short.validFrom) < Date.now() - 60_000, 'clocks may differ a little');
    t.not(short.serialNumber, long.serialNumber);
  },
);
