"""Fibonacci numbers by recursion."""


def prepare(parameters):
    depth = parameters["depth_count"]
    return lambda index: fib(depth - index % 4)


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
