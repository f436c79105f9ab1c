<?php

declare(strict_types=1);

function matmul(array $order): Closure
{
    ['chunks_count' => $chunks, 'size_count' => $n] = $order;
    [$left, $right] = [[], []];
    for ($r = 0; $r < $n; $r++) {
        for ($c = 0; $c < $n; $c++) {
            $left[$r][$c] = (float) (($r * $n + $c) % 7);
            $right[$r][$c] = (float) (($r + $c * 3) % 5);
        }
    }
    return function (int $index) use ($chunks, $n, $left, $right): int {
        $total = 0.0;
        for ($r = edge($n, $chunks, $index), $end = edge($n, $chunks, $index + 1); $r < $end; $r++) {
            $row = array_fill(0, $n, 0.0);
            foreach ($left[$r] as $k => $factor) {
                foreach ($right[$k] as $c => $element) {
                    $row[$c] += $factor * $element;
                }
            }
            $total += array_sum($row);
        }
        return (int) $total;
    };
}
