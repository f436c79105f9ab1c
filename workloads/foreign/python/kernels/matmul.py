"""Multiplying two square matrices, a few rows of the result at a time."""

from . import edge


def prepare(parameters):
    n, chunks = parameters["size_count"], parameters["chunks_count"]
    left = [[float((r * n + c) % 7) for c in range(n)] for r in range(n)]
    right = [[float((r + c * 3) % 5) for c in range(n)] for r in range(n)]

    def chunk(index):
        total = 0.0
        for r in range(edge(n, chunks, index), edge(n, chunks, index + 1)):
            row = [0.0] * n
            for factor, elements in zip(left[r], right):
                row = [sum_so_far + factor * element for sum_so_far, element in zip(row, elements)]
            total += sum(row)
        return int(total)

    return chunk
