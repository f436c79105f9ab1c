"""The Mandelbrot set: how many steps of z -> z*z + c stay bounded."""

from . import edge


def prepare(parameters):
    n, chunks, limit = parameters["size_count"], parameters["chunks_count"], parameters["limit_count"]

    def chunk(index):
        rows = range(edge(n, chunks, index), edge(n, chunks, index + 1))
        return sum(
            steps(-2.0 + 3.0 * column / n, -1.5 + 3.0 * row / n, limit) for row in rows for column in range(n)
        )

    return chunk


def steps(cr, ci, limit):
    zr = zi = 0.0
    count = 0
    while count < limit and zr * zr + zi * zi <= 4.0:
        zr, zi = zr * zr - zi * zi + cr, 2.0 * zr * zi + ci
        count += 1
    return count
