import type { TtcCapabilities } from '../../../proxy/ttc/index.js';

/** What thin drivers agree upon with a 23ai server. */
export const v24: TtcCapabilities = {
  fieldVersion: 24,
  endOfCallStatus: true,
  endOfResponse: true,
  plainTexts: false,
  wideScales: false,
};
/** The same with a field version of 19c. */
export const v13: TtcCapabilities = {
  fieldVersion: 13,
  endOfCallStatus: true,
  endOfResponse: true,
  plainTexts: false,
  wideScales: false,
};
