"""Memory that a task reads on each hop."""


def array(size):
    return bytes(j % 251 for j in range(size))
