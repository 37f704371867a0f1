export type JournalErrorCode =
  /** The journal cannot be written: no space, no permission; see `cause`. */
  | 'journal-write-failed'
  /** It would become larger than `journalBytesMax`. */
  | 'journal-full'
  /** A file of the journal is of a version this program does not know, or none. */
  | 'journal-version';

export class JournalError extends Error {
  readonly code: JournalErrorCode;
  readonly source = 'proxy';

  constructor(code: JournalErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'JournalError';
    this.code = code;
  }
}
