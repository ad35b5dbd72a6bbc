"""Errors that a caller may catch."""


class UserError(Exception):
    """An error that the person who started the job or sent the request can correct.

    Its message is one sentence: the value, the rule, the remedy. It becomes the failure file's text
    with exit code 1, or the body of an HTTP 400. Anything else that is raised is a bug.
    """


class BackendBusyError(Exception):
    """A backend that can't take or report anything just now: throttled, out of reach, or full.

    It will later, so the caller tries again.
    """
