"""Errors a user can cause, each with what was received, what would be accepted and what to do.

UserError
├── InvalidInput        a value, option or request that cannot be accepted
│   └── InvalidModelFile    a file that is damaged, truncated or of another kind
├── NotFound            a name or path that leads nowhere
├── Unsupported         valid, but nothing here can do it
├── Busy                not at the moment: queue full, port taken, out of memory
└── StorageError        the disk or its permissions are in the way
"""


class UserError(Exception):
    """One sentence that names the value and what would be accepted; `hint` says what to do.

    `status` is the HTTP status the daemon answers with, `exit_code` the command's.
    """

    status = 500
    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(UserError):
    """A value, option or request that cannot be accepted."""

    status = 400
    exit_code = 2


class InvalidModelFile(InvalidInput):
    """A model file that is damaged, truncated or of another kind than its name says."""

    exit_code = 3


class NotFound(UserError):
    """A model name, file or address that leads nowhere."""

    status = 404
    exit_code = 4


class Unsupported(UserError):
    """A valid request that nothing here can serve, such as an unknown architecture."""

    status = 400
    exit_code = 5


class Busy(UserError):
    """Not at the moment: the queue is full, the port is taken or memory is short."""

    status = 503
    exit_code = 6


class StorageError(UserError):
    """The disk, its space or its permissions are in the way."""

    exit_code = 7


class AccessDenied(UserError):
    """A server wants a token, or the consent of the model's owner first."""

    status = 403
    exit_code = 8


class Unreachable(UserError):
    """The network, or the server at its other end, does not answer as it should."""

    status = 502
    exit_code = 9
