"""FNV-1a of 32 bits over a block, repeatedly."""


def prepare(parameters):
    size, rounds = parameters["block_bytes"], parameters["rounds_count"]

    def chunk(index):
        block = bytes((j * 31 + index * 17) % 256 for j in range(size))
        state = 2_166_136_261
        for _ in range(rounds):
            for byte in block:
                state = (state ^ byte) * 16_777_619 & 0xFFFFFFFF
        return state

    return chunk
