import { type Personality, personality23ai } from '../../../fixtures/oracle/wire/personality.js';
import { Capability } from '../../../proxy/ttc/index.js';

const compile = Buffer.from(personality23ai.capabilities.compile);
compile[Capability.ttc4] = 0;

/** As databases before 23ai: no marks at the end of responses, negotiation and authentication in separate calls. */
export const personalityUnmarked: Personality = {
  ...personality23ai,
  protocolVersion: 318,
  acceptFlags2: 0,
  endOfResponse: false,
  capabilities: { ...personality23ai.capabilities, compile },
};
