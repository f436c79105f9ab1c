"""Using the stack: calls that each hold memory of their own."""


def descend(levels, bottom):
    """Calls itself until `levels` frames are live and runs `bottom` in the deepest."""
    frame = bytearray(512)
    frame[0] = levels & 255
    if levels > 1:
        below = descend(levels - 1, bottom)
    else:
        bottom()
        below = 0
    return below + 1 + (frame[0] ^ levels & 255)


async def descend_async(levels, bottom):
    """The same in coroutines."""
    frame = bytearray(512)
    frame[0] = levels & 255
    if levels > 1:
        below = await descend_async(levels - 1, bottom)
    else:
        await bottom()
        below = 0
    return below + 1 + (frame[0] ^ levels & 255)
