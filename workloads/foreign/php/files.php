<?php
// Files to read, in a temporary folder that is deleted with them.

declare(strict_types=1);

const BLOCK_BYTES = 64 << 10;

/** Writes files and syncs them to the disk, runs $body on their paths and removes them. */
function with_files(int $count, int $size, callable $body): mixed
{
    $folder = sys_get_temp_dir() . '/threadbare-' . bin2hex(random_bytes(8));
    mkdir($folder, 0700);
    $paths = [];
    try {
        for ($index = 0; $index < $count; $index++) {
            $paths[] = $path = "$folder/$index";
            $file = fopen($path, 'w');
            for ($offset = 0; $offset < $size; $offset += BLOCK_BYTES) {
                $block = '';
                for ($j = $offset, $end = min($size, $offset + BLOCK_BYTES); $j < $end; $j++) {
                    $block .= chr(($index + $j) % 251);
                }
                fwrite($file, $block);
            }
            fsync($file);
            fclose($file);
        }
        return $body($paths);
    } finally {
        array_map('unlink', $paths);
        rmdir($folder);
    }
}

function add_up(string $path, int $bytes): int
{
    $file = fopen($path, 'r');
    $total = 0;
    while (($block = fread($file, $bytes)) !== '' && $block !== false) {
        foreach (count_chars($block, 1) as $byte => $times) {
            $total += $byte * $times;
        }
    }
    fclose($file);
    return $total;
}
