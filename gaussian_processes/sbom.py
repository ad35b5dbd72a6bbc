"""Software bill of materials of the image, as CycloneDX 1.6 in JSON.

It lists the packages of Debian and of Python that are installed where it runs, each by its package
URL, for scanners of vulnerabilities and licences. What is inside a package, such as the OpenBLAS of
NumPy's wheel, is that package's. ::

    docker run --rm IMAGE python -m gaussian_processes.sbom >sbom.cdx.json

References
----------
.. [1] ECMA-424, "CycloneDX Bill of Materials Specification", 2024.
.. [2] "Package URL specification", github.com/package-url/purl-spec.
"""

import json
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from email.parser import HeaderParser
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

from gaussian_processes import __version__

# dpkg's database: a paragraph a package, in the form of a mail's headers.
DPKG_STATUS = Path("/var/lib/dpkg/status")

Component = Mapping[str, object]


def bill_of_materials() -> Mapping[str, object]:
    """Make the document; it has no time and no serial number, and so is equal for equal images."""
    components = [*_debian_packages(DPKG_STATUS), *_python_packages(distributions())]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": "gaussian-processes",
                "version": __version__,
            }
        },
        "components": sorted(components, key=lambda component: str(component["bom-ref"])),
    }


def _debian_packages(status: Path) -> Iterator[Component]:
    """Yield what dpkg has installed; nothing where there is no dpkg."""
    if not status.exists():
        return
    release = platform.freedesktop_os_release()
    namespace, distro = release["ID"], f"{release['ID']}-{release.get('VERSION_ID', 'unknown')}"
    for paragraph in status.read_text(encoding="utf-8").strip().split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields["Status"].split()[-1] != "installed":
            continue
        name, version = fields["Package"], fields["Version"]
        purl = f"pkg:deb/{namespace}/{quote(name)}@{quote(version, safe='')}"
        purl += f"?arch={fields['Architecture']}&distro={distro}"
        yield _component(name, version, purl)


def _python_packages(found: Iterable[Distribution]) -> Iterator[Component]:
    """Yield the distributions that Python finds, each once: it imports the first on its path."""
    seen = set()
    for distribution in found:
        name = re.sub(r"[-_.]+", "-", distribution.name).lower()
        if name in seen:
            continue
        seen.add(name)
        version = distribution.version
        component = _component(name, version, f"pkg:pypi/{name}@{quote(version, safe='')}")
        if expression := distribution.metadata.json.get("license_expression"):
            component["licenses"] = [{"expression": expression}]
        yield component


def _component(name: str, version: str, purl: str) -> dict[str, object]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main() -> None:
    """Print the document."""
    json.dump(bill_of_materials(), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
