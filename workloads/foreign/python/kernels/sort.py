"""Sorting numbers by the language's own sort."""

from .lehmer import following, lehmer


def prepare(parameters):
    items = parameters["items_count"]

    def chunk(index):
        numbers, x = [], lehmer(index, 1)
        for _ in range(items):
            numbers.append(x)
            x = following(x)
        numbers.sort()
        return sum(number * (j % 7 + 1) % 1_000_003 for j, number in enumerate(numbers))

    return chunk
