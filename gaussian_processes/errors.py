"""Errors that a caller may catch."""


class UserError(Exception):
    """A sentence for the person who started the job or sent the request: the value, the rule, the remedy.

    It becomes the failure file's text with exit code 1, or the body of an HTTP 400. Anything else that is raised is a bug.
    """


class BackendBusyError(Exception):
    """The place can't take or tell anything just now, and will later: throttled, out of reach, or full."""
