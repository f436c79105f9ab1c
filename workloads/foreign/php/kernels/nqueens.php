<?php

declare(strict_types=1);

function nqueens(array $order): Closure
{
    $n = $order['size_count'];
    $all = (1 << $n) - 1;
    return function (int $index) use ($n, $all): int {
        [$first, $second] = [1 << intdiv($index, $n), 1 << $index % $n];
        [$left, $right] = [$first << 1, $first >> 1];
        if ($second & ($first | $left | $right)) {
            return 0;
        }
        return solutions($all, $first | $second, ($left | $second) << 1, ($right | $second) >> 1);
    };
}

/** The masks are the attacked columns of the next row. */
function solutions(int $all, int $columns, int $left, int $right): int
{
    if ($columns === $all) {
        return 1;
    }
    $count = 0;
    for ($free = $all & ~($columns | $left | $right); $free; $free &= $free - 1) {
        $queen = $free & -$free;
        $count += solutions($all, $columns | $queen, ($left | $queen) << 1, ($right | $queen) >> 1);
    }
    return $count;
}
