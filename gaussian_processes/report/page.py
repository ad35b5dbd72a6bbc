"""HTML pages of reports, made of Jinja templates that lie beside the modules."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **content: Any) -> str:
    """Render a page.

    Parameters
    ----------
    template : str
        Path of a template in the package, such as ``report/page.html``.
    **content
        What its variables stand for; text is escaped.
    """
    environment = Environment(
        loader=PackageLoader("gaussian_processes", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)
