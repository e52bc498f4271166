import pytest

from savs.datasets.media.containers import container_of, missing_bytes


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\0\0\0\x20ftypqt  ", "mp4"),
        (b"\0\0\0\x08wide\0\0\0\0", "mp4"),
        (b"\0\0\0\x20ftypavif", None),
        (b"\0\0\0\x20ftypheic", None),
        (b"\x1a\x45\xdf\xa3....", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WEBPVP8 ", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"", None),
    ],
)
def test_containers_are_told_by_their_first_bytes(data: bytes, kind: str | None) -> None:
    assert container_of(data) == kind


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        # boxes of 12 and 20 bytes; 64-bit size of 24; size 0 goes to the end of the file
        (b"\0\0\0\x0cftyp1234" + b"\0\0\0\x14mdat" + b"." * 12, 0),
        (b"\0\0\0\x0cftyp1234" + b"\0\0\0\x14mdat" + b"." * 5, 7),
        (b"\0\0\0\x0cftyp1234" + b"\0\0\0\x01mdat" + (24).to_bytes(8) + b"." * 8, 0),
        (b"\0\0\0\x0cftyp1234" + b"\0\0\0\x01mdat" + (24).to_bytes(8) + b"." * 3, 5),
        (b"\0\0\0\x0cftyp1234" + b"\0\0\0\0mdat" + b"." * 3, 0),
        # RIFF: 8 bytes and those that are declared
        (b"RIFF\x0a\0\0\0AVI 123456", 0),
        (b"RIFF\x0a\0\0\0AVI 1234", 2),
        # EBML header of 2 bytes, segment of 5; then a segment of unknown size
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x8512345", 0),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x8512", 3),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x40\x0512", 3),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\xff12", 0),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x01" + b"\xff" * 7, 0),
    ],
)
def test_what_a_container_declares_and_does_not_have_is_counted(data: bytes, missing: int) -> None:
    assert missing_bytes(data) == missing
