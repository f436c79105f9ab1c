<?php

declare(strict_types=1);

function sorting(array $order): Closure
{
    $items = $order['items_count'];
    return function (int $index) use ($items): int {
        $numbers = [];
        for ($j = 0, $x = lehmer($index, 1); $j < $items; $j++, $x = $x * 48_271 % 2_147_483_647) {
            $numbers[] = $x;
        }
        sort($numbers);
        $total = 0;
        foreach ($numbers as $j => $number) {
            $total += $number * ($j % 7 + 1) % 1_000_003;
        }
        return $total;
    };
}
