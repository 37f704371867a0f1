import { CodedError } from '../../shim/program/errors.js';

export type ImageErrorCode = 'image-cut' | 'image-damaged' | 'image-refused';

/** Of an image on its way from agent to agent. The first two are tried again. */
export class ImageError extends CodedError<ImageErrorCode> {
  constructor(code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(code, 'operator', message, options);
  }
}
