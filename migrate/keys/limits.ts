/** How long an authority is good, in days; certificates end with it at the latest. */
export const authorityDays = 3650;
/** How long a certificate is good if nothing else is said, in days, and at most. */
export const certificateDays = 365;
export const certificateDaysMax = 3650;
/** Certificates begin this long ago, for hosts whose clocks are behind. */
export const clockSkewMsMax = 5 * 60_000;
/** Files of one key directory that are looked at. */
export const filesMax = 10_000;
