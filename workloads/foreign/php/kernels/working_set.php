<?php
// Memory that a task goes over on each hop.

declare(strict_types=1);

function working_set_array(int $size): string
{
    $array = '';
    for ($j = 0; $j < $size; $j++) {
        $array .= chr($j % 251);
    }
    return $array;
}

function go_over(string $array): int
{
    $total = 0;
    for ($j = 0, $size = strlen($array); $j < $size; $j++) {
        $total += ord($array[$j]);
    }
    return $total;
}
