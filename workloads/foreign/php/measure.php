<?php
// Taking a sample: clock, CPU time, context switches, latencies.

declare(strict_types=1);

/** The monotonic clock in nanoseconds, the same in all processes. */
function now(): int
{
    return hrtime(true);
}

/** The size of the affinity mask. */
function cpus(): int
{
    preg_match('/^Cpus_allowed_list:\s*(.*)$/m', file_get_contents('/proc/self/status'), $found);
    $count = 0;
    foreach (explode(',', $found[1]) as $range) {
        [$first, $last] = [...explode('-', $range), ...explode('-', $range)];
        $count += (str_contains($range, '-') ? (int) $last : (int) $first) - (int) $first + 1;
    }
    return $count;
}

/** The usage of this process and of the children that it has waited for. */
final class Usage
{
    public function __construct(public readonly int $cpu, public readonly int $voluntary, public readonly int $involuntary)
    {
    }

    public static function now(): self
    {
        [$cpu, $voluntary, $involuntary] = [0, 0, 0];
        foreach ([0, 1] as $who) {
            $use = getrusage($who);
            $cpu += ($use['ru_utime.tv_sec'] + $use['ru_stime.tv_sec']) * 1_000_000_000;
            $cpu += ($use['ru_utime.tv_usec'] + $use['ru_stime.tv_usec']) * 1_000;
            $voluntary += $use['ru_nvcsw'];
            $involuntary += $use['ru_nivcsw'];
        }
        return new self($cpu, $voluntary, $involuntary);
    }

    public function minus(self $other): self
    {
        return new self(
            max($this->cpu - $other->cpu, 0),
            max($this->voluntary - $other->voluntary, 0),
            max($this->involuntary - $other->involuntary, 0),
        );
    }

    public function report(): array
    {
        return [
            'cpu_ns' => $this->cpu,
            'voluntary_switches_count' => $this->voluntary,
            'involuntary_switches_count' => $this->involuntary,
        ];
    }
}

/** Sums up the timed sections. CPU time is counted from the constructor to the outcome. */
final class Meter
{
    public int $elapsed = 0;
    private readonly Usage $begun;

    public function __construct()
    {
        $this->begun = Usage::now();
    }

    public function time(callable $section): mixed
    {
        $start = now();
        $result = $section();
        $this->elapsed += now() - $start;
        return $result;
    }

    /** To be called when all tasks have been waited for. */
    public function outcome(int $operations, int $checksum, array $further = []): array
    {
        return [
            'elapsed_ns' => max($this->elapsed, 1), 'operations_count' => $operations, 'checksum' => $checksum,
            ...Usage::now()->minus($this->begun)->report(), ...$further,
        ];
    }

    public function perSecond(int $count): float
    {
        return $count / (max($this->elapsed, 1) / 1e9);
    }
}

/** Latencies in the protocol's form. A bucket is at most 1/1,024 of its values wide. */
function histogram(array $latencies, float $achieved): array
{
    $counts = [];
    foreach ($latencies as $ns) {
        $width = 1 << max((int) floor(log(max($ns, 1), 2)) - 10, 0);
        $highest = (intdiv($ns, $width) + 1) * $width - 1;
        $counts[$highest] = ($counts[$highest] ?? 0) + 1;
    }
    ksort($counts);
    $buckets = array_map(null, array_keys($counts), array_values($counts));
    return ['corrected' => false, 'offered_per_s' => null, 'achieved_per_s' => $achieved, 'buckets' => $buckets];
}

function median(array $latencies): float
{
    sort($latencies);
    return (float) $latencies[intdiv(count($latencies) - 1, 2)];
}
