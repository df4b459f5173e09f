/** The exit codes of the command, and the errors that carry one. Knows no command and no HTTP. */

export const EXIT = {
  ok: 0,
  error: 1,
  usage: 2,
  notFound: 3,
  denied: 4,
  unavailable: 5,
  conflict: 6,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends the command with one line on stderr and this exit code. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = EXIT.error) {
    super(message);
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}

export function usage(message: string): CommandError {
  return new CommandError(message, EXIT.usage);
}

const EXIT_BY_CODE: Record<string, ExitCode> = {
  invalid_argument: EXIT.error,
  unauthenticated: EXIT.denied,
  permission_denied: EXIT.denied,
  not_found: EXIT.notFound,
  already_exists: EXIT.conflict,
  conflict: EXIT.conflict,
  fenced: EXIT.conflict,
  rate_limited: EXIT.unavailable,
  unavailable: EXIT.unavailable,
  deadline_exceeded: EXIT.unavailable,
};

const EXIT_BY_STATUS: Record<number, ExitCode> = {
  401: EXIT.denied,
  403: EXIT.denied,
  404: EXIT.notFound,
  409: EXIT.conflict,
  412: EXIT.conflict,
  429: EXIT.unavailable,
  502: EXIT.unavailable,
  503: EXIT.unavailable,
  504: EXIT.unavailable,
};

/** By the problem's `code` where the server told one (status 0: it was not reached), else by the HTTP status. */
export function exitCodeOf(code: string | undefined, status: number): ExitCode {
  if (code !== undefined) return EXIT_BY_CODE[code] ?? EXIT.error;
  return status === 0 ? EXIT.unavailable : (EXIT_BY_STATUS[status] ?? EXIT.error);
}
