import json
import re
from importlib.metadata import PathDistribution

import pytest

from gaussian_processes import __version__, sbom

# The grammar of package URLs, of their type, namespace, name, version and qualifiers.
PACKAGE_URL = re.compile(r"pkg:[a-z]+(/[A-Za-z0-9._%+-]+)+@[A-Za-z0-9._%~+-]+(\?[\w=&.+-]+)?")
STATUS = """\
Package: nginx
Status: install ok installed
Architecture: amd64
Version: 1.26.3-3+deb13u1
Description: server
 of several lines

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: libstdc++6
Status: install ok installed
Architecture: amd64
Version: 1:14.2.0-19
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """What dpkg and Python have, in a folder."""
    (tmp_path / "status").write_text(STATUS)
    found = []
    for folder, text in [
        ("a", "Name: Zope.Event\nVersion: 5.0\nLicense-Expression: ZPL-2.1\n"),
        ("b", "Name: zope-event\nVersion: 4.0\n"),
        ("c", "Name: numpy\nVersion: 2.4.6+local\n"),
    ]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "METADATA").write_text(f"Metadata-Version: 2.4\n{text}")
        found.append(PathDistribution(tmp_path / folder))
    release = {"ID": "debian", "VERSION_ID": "13"}
    monkeypatch.setattr(sbom, "DPKG_STATUS", tmp_path / "status")
    monkeypatch.setattr(sbom, "distributions", lambda: found)
    monkeypatch.setattr(sbom.platform, "freedesktop_os_release", lambda: release)


def test_every_installed_package_is_there_once_by_its_url(packages):
    urls = [component["purl"] for component in sbom.bill_of_materials()["components"]]

    assert urls == [
        "pkg:deb/debian/libstdc%2B%2B6@1%3A14.2.0-19?arch=amd64&distro=debian-13",
        "pkg:deb/debian/nginx@1.26.3-3%2Bdeb13u1?arch=amd64&distro=debian-13",
        "pkg:pypi/numpy@2.4.6%2Blocal",
        "pkg:pypi/zope-event@5.0",
    ]
    assert all(map(PACKAGE_URL.fullmatch, urls))


def test_a_licence_that_a_package_declares_is_named(packages):
    components = sbom.bill_of_materials()["components"]

    licences = {component["name"]: component.get("licenses") for component in components}
    assert licences["zope-event"] == [{"expression": "ZPL-2.1"}]
    assert licences["numpy"] is None


def test_what_is_printed_is_a_cyclonedx_document_of_this_version(packages, capsys):
    sbom.main()

    printed = json.loads(capsys.readouterr().out)
    assert (printed["bomFormat"], printed["specVersion"]) == ("CycloneDX", "1.6")
    assert printed["metadata"]["component"]["version"] == __version__


def test_a_machine_without_dpkg_has_no_packages_of_debian(tmp_path):
    assert list(sbom._debian_packages(tmp_path / "status")) == []
