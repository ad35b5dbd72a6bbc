"""Pages of the repository that stand outside docs/, as pages of its site.

A hook of MkDocs. Links are written for a reader of the repository; on the site docs/ is the root,
and README the first page.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "benchmarks/RESULTS.md",
    "examples/sagemaker/README.md",
)
# What these pages link to.
FILES = (
    "LICENSE",
    *(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/sagemaker/**/*.*")),
)
LINK = re.compile(r"\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)]+)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the files that they link to."""
    for path in sorted({*PAGES, *FILES}):
        if files.get_file_from_path(_site_path(path)) is None:
            file = File.generated(config, _site_path(path), abs_src_path=str(ROOT / path))
            files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links lead where their targets are on the site."""
    here = page.file.src_uri
    folder = posixpath.dirname(_repository_path(here))

    def moved(link: re.Match[str]) -> str:
        target = _site_path(posixpath.normpath(posixpath.join(folder, link["target"])))
        return f"]({posixpath.relpath(target, posixpath.dirname(here))}{link['anchor'] or ''})"

    return LINK.sub(moved, markdown)


def _site_path(path: str) -> str:
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def _repository_path(path: str) -> str:
    if path == "index.md":
        return "README.md"
    return path if (ROOT / path).exists() else f"docs/{path}"
