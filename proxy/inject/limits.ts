/** Rules that one proxy, or one relay, can have at a time. */
export const faultsMax = 256;
/** Times at which a rule acts that it can name one by one. */
export const picksMax = 10_000;
/** So long a rule lives after it was added or renewed, when it does not say so itself; and the longest it can ask for: an hour. */
export const leaseMsDefault = 30_000;
export const leaseMsMax = 3_600_000;
/** Longest delay or stall that ends by itself: ten minutes. */
export const delayMsMax = 600_000;
/** Acts that are remembered for those who watch; older ones are in the audit log only. */
export const actsKept = 10_000;
/** Acts told in one answer. */
export const actsPerAnswerMax = 1_000;
/** Longest time for which a question for acts waits when there are none: less than a call of the control API may take. */
export const watchMsMax = 5_000;
/** Characters of the parts of a rule: names, patterns, addresses. */
export const ruleCharactersMax = 128;
/** Bytes of one packet that are kept until it is known what call begins with it: what Oracle Net allows, see proxy/tns. */
export const heldBytesMax = 2 * 1024 * 1024;
