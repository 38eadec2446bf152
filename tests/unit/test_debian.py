"""The host's own Debian mirror, in either format that apt reads."""

import pytest

from toolchain.images.debian import mirror_lines

TRIXIE = "deb http://mirror.example/debian trixie main"
UPDATES = "deb http://mirror.example/debian trixie-updates main"
SECURITY = "deb http://mirror.example/debian-security trixie-security main"

ONE_LINE = """\
# The mirror of this house
deb http://mirror.example/debian bookworm main contrib
deb-src http://sources.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb http://mirror.example/debian-security bookworm-security main
"""
DEB822 = """\
# The mirror of this house
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


def paragraph(**fields: str) -> str:
    """A paragraph of a .sources file, these fields over those of a right one."""
    right = {"Types": "deb", "URIs": "http://mirror.example/debian", "Suites": "bookworm", "Components": "main"}
    return "".join(f"{name}: {value}\n" for name, value in {**right, **fields}.items())


@pytest.mark.parametrize("sources", [ONE_LINE, DEB822], ids=["one-line", "deb822"])
def test_the_host_s_suites_are_read_and_the_wanted_one_s_written(sources: str) -> None:
    assert mirror_lines("trixie", sources) == [TRIXIE, UPDATES, SECURITY]


@pytest.mark.parametrize(
    "sources",
    [
        "deb http://mirror.example/debian bookworm main",
        "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main",
        "deb [ arch=amd64 signed-by=/k.gpg ] http://mirror.example/debian bookworm main",
        "deb\thttp://mirror.example/debian\tbookworm\tmain",
        "deb http://mirror.example/debian stable main",
        "deb http://mirror.example/debian bookworm main\ndeb http://other.example/debian bookworm main",
        paragraph(Enabled="yes"),
        paragraph(URIs="http://other.example/debian", Enabled="no") + "\n" + paragraph(),
        paragraph().replace("URIs:", "# URIs: http://other.example/debian\nURIs:"),
        paragraph(Suites="\n bookworm"),
    ],
)
def test_a_host_with_a_mirror_of_one_suite_has_one_line(sources: str) -> None:
    assert mirror_lines("trixie", sources) == [TRIXIE]


@pytest.mark.parametrize(
    "sources",
    [
        "",
        "deb http://mirror.example/debian-security bookworm-security main",
        "# deb http://mirror.example/debian bookworm main",
        "deb-src http://mirror.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm-backports main",
        "deb http://mirror.example/debian ./",
        "deb cdrom:[Debian GNU/Linux 12]/ bookworm main",
        *(paragraph(Enabled=disabled) for disabled in ("no", "false", "No", "off")),
        paragraph(Types="deb-src"),
    ],
)
def test_a_host_without_a_mirror_has_no_line(sources: str) -> None:
    assert mirror_lines("trixie", sources) == []


@pytest.mark.parametrize(
    "other",
    [
        "deb https://packages.example/apt stable main",
        paragraph(URIs="https://packages.example/apt", Suites="stable"),
        "deb https://download.example/linux/debian bookworm stable",
        paragraph(URIs="https://download.example/linux/debian", Components="stable"),
    ],
    ids=["no Debian", "no Debian in deb822", "for Debian", "for Debian in deb822"],
)
def test_a_third_party_s_repository_neither_is_a_mirror_nor_hides_one(other: str) -> None:
    assert mirror_lines("trixie", other) == []
    assert mirror_lines("trixie", f"{other}\n\n{DEB822}") == [TRIXIE, UPDATES, SECURITY]
