"""Exceptions that a user of the kit may want to catch."""

from __future__ import annotations


class InputError(ValueError):
    """An argument, a file or a data set cannot be used. The command line prints it as one line and exits with 2.

    The message names the subject, the rule, the value received and, where there is one, a remedy. The same parts are
    kept as attributes, so that the command line can name the flag that was typed in place of the Python argument.

    Args:
        message: the whole line, for Python.
        subject: argument that is refused, such as `"Dropout.rate"`; None if the message was written as a whole.
        requirement: the rule, continuing "must …".
        received: the value that was given.
        remedy: remedy for a Python user.
        flag: flag of the command line that sets the subject, if it is not spelled as the argument.
        typed_remedy: remedy for a user of the command line, if it differs from `remedy`.
    """

    def __init__(
        self,
        message: str,
        *,
        subject: str | None = None,
        requirement: str = "",
        received: str = "",
        remedy: str = "",
        flag: str | None = None,
        typed_remedy: str | None = None,
    ):
        super().__init__(message)
        self.subject = subject
        self.requirement = requirement
        self.received = received
        self.remedy = remedy
        self.flag = flag
        self.typed_remedy = typed_remedy

    def parts(self) -> dict[str, str | None]:
        """Everything that `InputError(**parts)` needs to make this error again in another process."""
        return {"message": str(self), **vars(self)}


class WorkerLost(RuntimeError):
    """Another worker of the cluster has stopped, so this one cannot continue. The command line exits with 1."""


class RunStopped(RuntimeError):
    """A run has stopped before its end, for the reason in the message. The command line exits with 1."""


class TrainingDiverged(RunStopped):
    """The numbers of a training have gone wrong: the loss or a weight is not finite, or far out of range."""
