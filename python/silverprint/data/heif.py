"""What must be checked in a HEIF file before `pi_heif` may see it."""

from __future__ import annotations


def has_readable_items(data: bytes) -> bool:
    """Whether the texts in the item list are UTF-8; pi_heif 1.4 crashes where they are not.

    Source: ISO/IEC 14496-12, 8.11.1 (``meta``) and 8.11.6 (``infe``).
    """
    meta = _meta_box(data)
    at = meta.find(b"infe")
    while at >= 4:
        length = int.from_bytes(meta[at - 4 : at], "big")
        # Before the texts: type, version and flags, an item number of 2 or 4 bytes, protection.
        texts = at + (14 if meta[at + 4 : at + 5] == b"\3" else 12)
        try:
            meta[texts : at - 4 + length].decode("utf-8")
        except UnicodeDecodeError:
            return False
        at = meta.find(b"infe", at + 4)
    return True


def _meta_box(data: bytes) -> bytes:
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"meta":
            return data[at : at + length]
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if length < 8:
            break
        at += length
    return b""
