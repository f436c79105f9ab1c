"""Files to read, in a temporary folder that is deleted with them."""

import os
import tempfile
from contextlib import contextmanager

BLOCK_BYTES = 64 << 10  # The bytes that are written at a time.
PERIOD = 251


@contextmanager
def files(count, size):
    """Writes files and syncs them to the disk; yields their paths."""
    pattern = bytes(j % PERIOD for j in range(BLOCK_BYTES + 2 * PERIOD))
    with tempfile.TemporaryDirectory(prefix="threadbare-") as folder:
        paths = [os.path.join(folder, str(index)) for index in range(count)]
        for index, path in enumerate(paths):
            with open(path, "wb", buffering=0) as file:
                for offset in range(0, size, BLOCK_BYTES):
                    first = (index + offset) % PERIOD
                    file.write(pattern[first:first + min(size - offset, BLOCK_BYTES)])
                os.fsync(file.fileno())
        yield paths


def forget(paths):
    """Makes the kernel drop the files' pages from its cache."""
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def add_up(path, block_bytes):
    """Reads a file in blocks and adds up its bytes."""
    total = 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(block_bytes):
            total += sum(block)
    return total
