"""How deep MessagePack bytes are nested, found without decoding them. Floor F1.

A body of n bytes can be nested n deep, and every level costs a C or Python frame when it is decoded. Nearly all bodies are
let through by counting, at the speed of C, the bytes that could open a container; only what is left is walked.
"""

from __future__ import annotations

__all__ = ["deeper_than"]


def _is_opener(byte: int) -> bool:
    return 0x80 <= byte <= 0x9F or 0xDC <= byte <= 0xDF


_NO_OPENERS = bytes(byte for byte in range(256) if not _is_opener(byte))

# What follows a first byte: a fixed number of bytes, or a length of so many bytes (and, for extensions, a type byte).
_NUMBERS = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FIXED = _NUMBERS | {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_BYTES = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_SIZED = _BYTES | {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_COUNTED = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def _leaf_size(byte: int) -> int:
    """The bytes of an item that begins with this one; 0 when the first byte alone does not tell."""
    if _is_opener(byte) or byte in _SIZED:
        return 0
    if 0xA0 <= byte <= 0xBF:
        return 1 + (byte & 0x1F)
    return 1 + _FIXED.get(byte, 0)


_LEAF = tuple(_leaf_size(byte) for byte in range(256))


def deeper_than(limit: int, body: bytes) -> bool:
    """Whether containers are nested more than ``limit`` deep. Bytes that are cut short, or no MessagePack, are not.

    Example:
        >>> deeper_than(2, b"\\x91\\x91\\x01"), deeper_than(1, b"\\x91\\x91\\x01")
        (False, True)
    """
    if len(body) <= limit or len(body.translate(None, _NO_OPENERS)) <= limit:
        return False
    return _walk(limit, body)


def _walk(limit: int, body: bytes) -> bool:
    end, position, left = len(body), 0, 1
    outer: list[int] = []
    while position < end:
        while left == 0:
            if not outer:
                return False
            left = outer.pop()
        left -= 1
        byte = body[position]
        size = _LEAF[byte]
        if size:
            position += size
        elif byte in _SIZED:
            width, extra = _SIZED[byte]
            position += 1 + width + extra + int.from_bytes(body[position + 1 : position + 1 + width], "big")
        else:
            position, items = _open(byte, body, position)
            outer.append(left)
            left = items
            if len(outer) > limit:
                return True
    return False


def _open(byte: int, body: bytes, position: int) -> tuple[int, int]:
    if byte not in _COUNTED:
        return position + 1, (byte & 0x0F) * (1 if byte >= 0x90 else 2)
    width, each = _COUNTED[byte]
    return position + 1 + width, each * int.from_bytes(body[position + 1 : position + 1 + width], "big")
