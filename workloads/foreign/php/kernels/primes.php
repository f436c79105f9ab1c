<?php

declare(strict_types=1);

function primes(array $order): Closure
{
    ['chunks_count' => $chunks, 'limit_count' => $limit, 'skewed' => $skewed] = $order;
    $edge = fn (int $index): int => $skewed ? intdiv($limit * $index * $index, $chunks * $chunks) : edge($limit, $chunks, $index);
    return function (int $index) use ($edge): int {
        $count = 0;
        for ($n = $edge($index), $end = $edge($index + 1); $n < $end; $n++) {
            $count += (int) is_prime($n);
        }
        return $count;
    };
}

function is_prime(int $n): bool
{
    if ($n < 3 || $n % 2 === 0) {
        return $n === 2;
    }
    for ($divisor = 3; $divisor * $divisor <= $n; $divisor += 2) {
        if ($n % $divisor === 0) {
            return false;
        }
    }
    return true;
}
