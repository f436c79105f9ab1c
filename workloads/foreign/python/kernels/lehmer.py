"""A small generator that every language can compute exactly."""

MODULUS = 2_147_483_647


def following(x):
    return x * 48_271 % MODULUS


def lehmer(seed, steps):
    """The number after `steps` steps from a seed."""
    x = seed % (MODULUS - 1) + 1
    for _ in range(steps):
        x = x * 48_271 % MODULUS
    return x
