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


@pytest.mark.parametrize("sources", [ONE_LINE, DEB822], ids=["one-line", "deb822"])
def test_the_host_s_suites_are_read_and_the_wanted_one_s_written(sources: str) -> None:
    assert mirror_lines("trixie", sources) == [TRIXIE, UPDATES, SECURITY]


def test_a_pocket_that_the_host_has_no_mirror_of_is_left_out() -> None:
    assert mirror_lines("trixie", "deb http://mirror.example/debian bookworm main") == [TRIXIE]


def test_pockets_alone_are_no_mirror() -> None:
    assert mirror_lines("trixie", "deb http://mirror.example/debian-security bookworm-security main") == []


def test_nothing_is_no_mirror() -> None:
    assert mirror_lines("trixie", "") == []


@pytest.mark.parametrize(
    "line",
    [
        "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main",
        "deb [ arch=amd64 signed-by=/k.gpg ] http://mirror.example/debian bookworm main",
        "deb\thttp://mirror.example/debian\tbookworm\tmain",
        "deb http://mirror.example/debian stable main",
    ],
)
def test_the_one_line_format_has_options_and_any_white_space(line: str) -> None:
    assert mirror_lines("trixie", line) == [TRIXIE]


@pytest.mark.parametrize(
    "line",
    [
        "# deb http://mirror.example/debian bookworm main",
        "deb-src http://mirror.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm-backports main",
        "deb http://mirror.example/debian ./",
        "deb cdrom:[Debian GNU/Linux 12]/ bookworm main",
    ],
    ids=["comment", "source", "backports", "flat", "cdrom"],
)
def test_a_line_that_is_no_mirror_of_the_suite_is_left_out(line: str) -> None:
    assert mirror_lines("trixie", line) == []


def test_the_first_mirror_is_taken() -> None:
    sources = "deb http://mirror.example/debian bookworm main\ndeb http://other.example/debian bookworm main"
    assert mirror_lines("trixie", sources) == [TRIXIE]


def paragraph(**fields: str) -> str:
    """A paragraph of a .sources file, these fields over those of a right one."""
    right = {"Types": "deb", "URIs": "http://mirror.example/debian", "Suites": "bookworm", "Components": "main"}
    return "".join(f"{name}: {value}\n" for name, value in {**right, **fields}.items())


def test_a_paragraph_that_is_enabled_is_read() -> None:
    assert mirror_lines("trixie", paragraph(Enabled="yes")) == [TRIXIE]


@pytest.mark.parametrize("disabled", ["no", "false", "No", "off"])
def test_a_paragraph_that_is_disabled_is_left_out(disabled: str) -> None:
    assert mirror_lines("trixie", paragraph(Enabled=disabled)) == []


def test_a_disabled_paragraph_does_not_hide_the_next_one() -> None:
    sources = paragraph(URIs="http://other.example/debian", Enabled="no") + "\n" + paragraph()
    assert mirror_lines("trixie", sources) == [TRIXIE]


def test_a_paragraph_of_sources_alone_is_left_out() -> None:
    assert mirror_lines("trixie", paragraph(Types="deb-src")) == []


def test_a_comment_inside_a_paragraph_does_not_end_it() -> None:
    sources = paragraph().replace("URIs:", "# URIs: http://other.example/debian\nURIs:")
    assert mirror_lines("trixie", sources) == [TRIXIE]


def test_a_field_goes_on_in_indented_lines() -> None:
    sources = paragraph(Suites="\n bookworm\n bookworm-updates")
    assert mirror_lines("trixie", sources) == [TRIXIE, UPDATES]


THIRD_PARTY = {
    "no Debian": "deb https://packages.example/apt stable main",
    "no Debian in deb822": paragraph(URIs="https://packages.example/apt", Suites="stable"),
    "for Debian": "deb https://download.example/linux/debian bookworm stable",
    "for Debian in deb822": paragraph(URIs="https://download.example/linux/debian", Components="stable"),
}


@pytest.mark.parametrize("other", THIRD_PARTY.values(), ids=THIRD_PARTY.keys())
def test_a_third_party_s_repository_is_no_mirror_of_debian(other: str) -> None:
    assert mirror_lines("trixie", other) == []


@pytest.mark.parametrize("other", THIRD_PARTY.values(), ids=THIRD_PARTY.keys())
def test_a_third_party_s_repository_does_not_stand_in_for_the_mirror(other: str) -> None:
    assert mirror_lines("trixie", f"{other}\n\n{DEB822}") == [TRIXIE, UPDATES, SECURITY]
