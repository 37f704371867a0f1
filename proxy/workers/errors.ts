import { CodedError } from '../../shim/program/errors.js';

export type WorkerErrorCode =
  /** The worker that has the workload did not answer. */
  'worker-away';

export class WorkerError extends CodedError<WorkerErrorCode> {
  static away(index: number, cause: unknown): WorkerError {
    return new WorkerError('worker-away', 'proxy', `worker ${index} of the proxy does not answer; ask again`, {
      cause,
    });
  }
}
