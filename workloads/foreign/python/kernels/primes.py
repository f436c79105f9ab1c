"""Counting primes by trial division."""

from . import edge as even_edge


def prepare(parameters):
    chunks, limit = parameters["chunks_count"], parameters["limit_count"]

    def edge(index):
        if parameters["skewed"]:
            return limit * index * index // (chunks * chunks)
        return even_edge(limit, chunks, index)

    return lambda index: sum(map(is_prime, range(edge(index), edge(index + 1))))


def is_prime(n):
    if n < 3 or n % 2 == 0:
        return n == 2
    divisor = 3
    while divisor * divisor <= n:
        if n % divisor == 0:
            return False
        divisor += 2
    return True
