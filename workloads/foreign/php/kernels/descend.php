<?php
// Using the stack: calls that each hold memory of their own.

declare(strict_types=1);

/** Calls itself until $levels frames are live and runs $bottom in the deepest. */
function descend(int $levels, callable $bottom): int
{
    $frame = str_repeat(chr($levels & 255), 512);
    if ($levels > 1) {
        $below = descend($levels - 1, $bottom);
    } else {
        $bottom();
        $below = 0;
    }
    return $below + 1 + (ord($frame[511]) ^ $levels & 255);
}
