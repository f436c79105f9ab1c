<?php
// Writing and reading a JSON document by the language itself.

declare(strict_types=1);

function documents(array $order): Closure
{
    $records = $order['records_count'];
    return function (int $index) use ($records): int {
        $document = [];
        for ($j = 0; $j < $records; $j++) {
            $document[] = [
                'id' => $j, 'name' => "record $j", 'tags' => ['a', 'b', 'c'],
                'value' => lehmer($index * $records + $j, 1), 'on' => $j % 2 === 0,
            ];
        }
        $total = 0;
        foreach (json_decode(json_encode($document), true) as $record) {
            $total += $record['id'] + $record['value'] % 1000 + count($record['tags']) + strlen($record['name']) + (int) $record['on'];
        }
        return $total;
    };
}
