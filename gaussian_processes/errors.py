"""Errors that a caller may catch."""


class UserError(Exception):
    """An error that the person who started the job or sent the request can correct.

    Its message is one sentence: the value, the rule, the remedy. It becomes the failure file's text
    with exit code 1, or the body of an HTTP 400. Anything else that is raised is a bug.
    """


class HostLostError(UserError):
    """The loss of another host of the job, whose part of the work is lost with it.

    Parameters
    ----------
    host : str
        Its name.
    """

    def __init__(self, host: str) -> None:
        super().__init__(
            f"host {host} was lost: its process was ended, or its connection was cut; look into its"
            " log, and start the job again, which goes on from its checkpoints if it has any"
        )


class BackendBusyError(Exception):
    """A backend that can't take or report anything just now: throttled, out of reach, or full.

    It will later, so the caller tries again.
    """
