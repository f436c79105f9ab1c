<?php
// The Mandelbrot set: how many steps of z -> z*z + c stay bounded.

declare(strict_types=1);

function mandelbrot(array $order): Closure
{
    ['chunks_count' => $chunks, 'size_count' => $n, 'limit_count' => $limit] = $order;
    return function (int $index) use ($chunks, $n, $limit): int {
        $total = 0;
        for ($row = edge($n, $chunks, $index), $end = edge($n, $chunks, $index + 1); $row < $end; $row++) {
            for ($column = 0; $column < $n; $column++) {
                $total += steps(-2.0 + 3.0 * $column / $n, -1.5 + 3.0 * $row / $n, $limit);
            }
        }
        return $total;
    };
}

function steps(float $cr, float $ci, int $limit): int
{
    $zr = $zi = 0.0;
    $count = 0;
    while ($count < $limit && $zr * $zr + $zi * $zi <= 4.0) {
        [$zr, $zi] = [$zr * $zr - $zi * $zi + $cr, 2.0 * $zr * $zi + $ci];
        $count++;
    }
    return $count;
}
