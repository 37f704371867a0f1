import { personalityOf } from '../../../fixtures/oracle/wire/personality.js';

/** As databases before 23ai: no marks at the end of responses, negotiation and authentication in separate calls. */
export const personalityUnmarked = personalityOf('23ai', { protocolVersion: 318, fastAuth: false });
