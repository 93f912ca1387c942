"""Was a file complete when it was counted? Its later content tells."""

_BLOCK_BYTES = 256
_LEAST_KEPT = 0.9
"""Part of the blocks that stay as they are when a writer goes on; headers and tables of contents are rewritten."""


def continues(before: bytes, after: bytes) -> bool:
    """True if `after` is `before` written on: pages were added, or a reserved space was filled.

    Blocks of one value say nothing: they are reserved space or dark background.
    """
    if len(after) < len(before):
        return False
    kept = told = 0
    for start in range(0, len(before), _BLOCK_BYTES):
        block = before[start : start + _BLOCK_BYTES]
        if block.count(block[:1]) == len(block):
            continue
        told += 1
        kept += block == after[start : start + _BLOCK_BYTES]
    return told > 0 and kept >= _LEAST_KEPT * told
