"""The ways to put n queens on a board without any attacking another."""


def prepare(parameters):
    n = parameters["size_count"]
    every = (1 << n) - 1

    def chunk(index):
        first, second = 1 << index // n, 1 << index % n
        columns, left, right = first, first << 1, first >> 1
        if second & (columns | left | right):
            return 0
        return solutions(every, columns | second, (left | second) << 1, (right | second) >> 1)

    return chunk


def solutions(every, columns, left, right):
    """The masks are the attacked columns of the next row."""
    if columns == every:
        return 1
    count = 0
    free = every & ~(columns | left | right)
    while free:
        queen = free & -free
        free ^= queen
        count += solutions(every, columns | queen, (left | queen) << 1, (right | queen) >> 1)
    return count
