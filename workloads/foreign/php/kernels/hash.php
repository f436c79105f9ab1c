<?php

declare(strict_types=1);

function hashing(array $order): Closure
{
    ['block_bytes' => $size, 'rounds_count' => $rounds] = $order;
    return function (int $index) use ($size, $rounds): int {
        $block = [];
        for ($j = 0; $j < $size; $j++) {
            $block[] = ($j * 31 + $index * 17) % 256;
        }
        $state = 2_166_136_261;
        for ($round = 0; $round < $rounds; $round++) {
            foreach ($block as $byte) {
                $state = ($state ^ $byte) * 16_777_619 & 0xFFFFFFFF;
            }
        }
        return $state;
    };
}
