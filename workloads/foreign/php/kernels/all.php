<?php
// The kernels. Each file prepares data that all chunks share and returns the
// function that computes one chunk.

declare(strict_types=1);

foreach (['lehmer', 'primes', 'matmul', 'mandelbrot', 'nqueens', 'fib', 'sort', 'hash', 'json', 'descend'] as $kernel) {
    require __DIR__ . "/$kernel.php";
}

const KERNELS = [
    'cpu.primes' => 'primes', 'cpu.matmul' => 'matmul', 'cpu.mandelbrot' => 'mandelbrot', 'cpu.nqueens' => 'nqueens',
    'cpu.fib' => 'fibonacci', 'cpu.sort' => 'sorting', 'cpu.hash' => 'hashing', 'cpu.json' => 'documents', 'cpu.json_weak' => 'documents',
];

/** The start of part $index when $whole is cut into $parts. */
function edge(int $whole, int $parts, int $index): int
{
    return intdiv($whole * $index, $parts);
}
