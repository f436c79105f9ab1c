<?php
// Memory as a ledger that closes: what the host has lost, and where it went.

declare(strict_types=1);

const SETTLE_STEP_US = 50_000;
const SETTLE_LIMIT_NS = 1_000_000_000;
const SETTLE_BYTES = 256 << 10;

/** Waits until the host has settled and reads, over all descendants. */
function read_ledger(): array
{
    $host = settle();
    $anonymous = 0;
    foreach (['self', ...descendants((string) getmypid())] as $process) {
        $own = proc_fields("/proc/$process/smaps_rollup");
        $anonymous += $own['Pss_Anon'] + $own['Pss_Shmem'];
    }
    return [
        'available_bytes' => -$host['MemAvailable'], 'anonymous_bytes' => $anonymous,
        'kernel_stack_bytes' => $host['KernelStack'], 'slab_bytes' => $host['Slab'],
        'page_tables_bytes' => $host['PageTables'] + ($host['SecPageTables'] ?? 0),
        'percpu_bytes' => $host['Percpu'] ?? 0, 'virtual_bytes' => proc_fields('/proc/self/status')['VmSize'],
    ];
}

/** The change between two readings, as the protocol carries it. */
function change(array $before, array $after, int $tasks): array
{
    $change = ['tasks_count' => $tasks];
    foreach ($before as $name => $bytes) {
        $change[$name] = $after[$name] - $bytes;
    }
    return $change;
}

function descendants(string $pid): array
{
    $found = [];
    foreach (preg_split('/\s+/', file_get_contents("/proc/$pid/task/$pid/children"), -1, PREG_SPLIT_NO_EMPTY) as $child) {
        array_push($found, $child, ...descendants($child));
    }
    return $found;
}

function settle(): array
{
    $start = now();
    $last = proc_fields('/proc/meminfo');
    for ($same = 1; $same < 3 && now() - $start < SETTLE_LIMIT_NS; $same++) {
        usleep(SETTLE_STEP_US);
        if (is_readable('/proc/sys/vm/stat_refresh') && posix_geteuid() === 0) {
            // Makes the kernel add up its per-CPU counters now.
            file_get_contents('/proc/sys/vm/stat_refresh');
        }
        $next = proc_fields('/proc/meminfo');
        if (abs($next['MemAvailable'] - $last['MemAvailable']) > SETTLE_BYTES) {
            $same = 0;
        }
        $last = $next;
    }
    return $last;
}

/** The lines "Name:   12 kB" of a file, in bytes. */
function proc_fields(string $path): array
{
    preg_match_all('/^(\w+):\s*(\d+) kB$/m', file_get_contents($path), $found);
    return array_combine($found[1], array_map(fn (string $kb): int => (int) $kb << 10, $found[2]));
}
