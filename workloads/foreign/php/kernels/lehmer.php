<?php
// A small generator that every language can compute exactly.

declare(strict_types=1);

function lehmer(int $seed, int $steps): int
{
    $x = $seed % 2_147_483_646 + 1;
    for ($step = 0; $step < $steps; $step++) {
        $x = $x * 48_271 % 2_147_483_647;
    }
    return $x;
}
