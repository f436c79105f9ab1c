<?php
// The lane php-fork: a task is a process made by pcntl_fork.

declare(strict_types=1);

const PAGE_BYTES = 4096;
const MOST_LEAVES = 10_000;
const MOST_TASKS = 2_000;
const NO_CHANNEL = 'PHP forks to serve requests apart from each other; it has no channel or lock between many processes';

/** A forked process that hands over a number through a socket pair. */
final class Process
{
    private readonly int $pid;
    private $socket;

    /** $keep: the parent's sockets that the child needs. The child hands over the result of $body. */
    public function __construct(callable $body)
    {
        [$this->socket, $other] = socket_pair();
        $pid = pcntl_fork();
        if ($pid === 0) {
            fclose($this->socket);
            try {
                send($other, $body());
            } catch (Throwable $error) {
                fwrite(STDERR, "$error\n");
                leave(1);
            }
            leave(0);
        }
        fclose($other);
        $this->pid = $pid;
    }

    public function result(): int
    {
        $value = fread($this->socket, 8);
        fclose($this->socket);
        pcntl_waitpid($this->pid, $status);
        if (strlen($value) !== 8) {
            throw new RuntimeException("a process ended with status $status and handed over nothing; see stderr");
        }
        return unpack('q', $value)[1];
    }
}

/** Ends a child at once, so it does not run the parent's clean-up a second time. */
function leave(int $status): never
{
    if ($status !== 0) {
        posix_kill(getmypid(), SIGKILL);
    }
    // Without output buffers and destructors that matter, exit does the same.
    exit(0);
}

function socket_pair(int $type = STREAM_SOCK_STREAM): array
{
    return stream_socket_pair(STREAM_PF_UNIX, $type, 0) ?: throw new Failure('limit', 'no socket pair (EMFILE); look at ulimit -n');
}

function send($socket, int $value): void
{
    fwrite($socket, pack('q', $value));
}

function receive($socket): int
{
    // PHP waits for a message and then reads without waiting: it reads nothing if another process was faster.
    do {
        $message = fread($socket, 8);
    } while ($message === '' && !feof($socket));
    return unpack('q', $message)[1];
}

final class ForkLane
{
    use Shapes;

    private const SHAPES = [
        'spawn.one' => 'spawnOne', 'spawn.batch' => 'spawnBatch', 'spawn.first_instruction' => 'firstInstruction',
        'spawn.skynet' => 'skynet', 'spawn.fork_rss' => 'forkRss', 'switch.pingpong' => 'pingPong',
        'switch.idle_wake' => 'idleWake', 'switch.hog' => 'hog', 'memory.parked' => 'hold', 'memory.deep' => 'hold',
        'memory.shrink' => 'hold', 'memory.million' => 'hold', 'io.sleepers' => 'sleepers', 'io.tcp_echo' => 'tcpEcho',
        'io.tcp_latency' => 'tcpEcho', 'io.tcp_burst' => 'tcpEcho',
        'io.fanout' => 'fanout', 'io.file_read' => 'fileRead',
    ];

    private function start(callable $body): Process
    {
        return new Process($body);
    }

    public function refuses(string $workload): ?string
    {
        return match (true) {
            !function_exists('pcntl_fork') => 'this PHP has no pcntl extension, so it cannot fork',
            str_starts_with($workload, 'io.tcp_') && !getenv('THREADBARE_LOAD') => 'THREADBARE_LOAD does not name the load generator',
            isset(self::SHAPES[$workload]) || isset(KERNELS[$workload]) => null,
            in_array($workload, ['switch.pipe', 'share.brigade'], true) => 'PHP has no call that makes a kernel pipe within a process',
            $workload === 'io.email' => 'PHP has no SMTP client of its own: mail() runs sendmail',
            $workload === 'service.http' => 'PHP has no HTTP server for production of its own: it runs under FPM, which is not the language',
            $workload === 'switch.yield' => 'PHP has no sched_yield',
            $workload === 'switch.futex' => 'PHP has no call for a futex',
            $workload === 'switch.roundtrip' => 'a socket pair has no capacity of so many numbers, and PHP cannot pin a process to a CPU',
            default => NO_CHANNEL,
        };
    }

    public function run(array $order): array
    {
        if (($order['leaves_count'] ?? 0) > MOST_LEAVES) {
            throw new Failure('not_supported', "{$order['leaves_count']} leaves are more processes at once than a host allows, so this lane grows " . MOST_LEAVES . ' at most');
        }
        if (($order['tasks_count'] ?? 0) > MOST_TASKS) {
            throw new Failure('not_supported', "{$order['tasks_count']} processes at a time: each inherits the sockets of all before it, so this lane starts " . MOST_TASKS . ' at most');
        }
        $shape = self::SHAPES[$order['workload']] ?? 'chunks';
        return $this->$shape($order);
    }

    private function forkRss(array $order): array
    {
        if ($order['huge'] !== 0) {
            throw new Failure('not_supported', 'PHP has no madvise, by which memory gets huge pages');
        }
        $resident = str_repeat("\1", $order['resident_bytes']);
        $touched = min($order['touch_pages_count'], intdiv($order['resident_bytes'], PAGE_BYTES));
        [$returns, $firsts, $copies, $exits, $done] = [[], [], [], [], 0];
        $meter = new Meter();
        for ($i = 0; $i < $order['iterations']; $i++) {
            [$mine, $other] = socket_pair();
            $meter->time(function () use (&$resident, $touched, $mine, $other, &$returns, &$firsts, &$copies, &$exits, &$done): void {
                $called = now();
                $pid = pcntl_fork();
                if ($pid === 0) {
                    $first = now();
                    for ($page = 0; $page < $touched; $page++) {
                        $resident[$page * PAGE_BYTES] = "\2";
                    }
                    fwrite($other, pack('qq', $first, now()));
                    leave(0);
                }
                $returned = now();
                pcntl_waitpid($pid, $status);
                $ended = now();
                [, $first, $last] = unpack('q2', fread($mine, 16));
                $done += (int) (pcntl_wifexited($status) && pcntl_wexitstatus($status) === 0);
                $returns[] = $returned - $called;
                $firsts[] = $first - $called;
                $copies[] = $last - $first;
                $exits[] = $ended - $last;
            });
            fclose($mine);
            fclose($other);
        }
        return $meter->outcome($order['iterations'], $done, ['metrics' => [
            'fork_return_ns' => median($returns), 'first_instruction_ns' => median($firsts),
            'copy_on_write_ns' => median($copies), 'exit_wait_ns' => median($exits),
        ]]);
    }

    private function pingPong(array $order): array
    {
        $rounds = $order['rounds_count'] * $order['iterations'];
        $meter = new Meter();
        [$mine, $other] = socket_pair();
        $task = new Process(function () use ($other, $rounds): int {
            for ($round = 0; $round < $rounds; $round++) {
                send($other, receive($other) + 1);
            }
            return 0;
        });
        $value = $meter->time(function () use ($mine, $rounds): int {
            $token = 0;
            for ($round = 0; $round < $rounds; $round++) {
                send($mine, $token);
                $token = receive($mine);
            }
            return $token;
        });
        $task->result();
        return $meter->outcome($rounds, $value);
    }

    private function idleWake(array $order): array
    {
        $rounds = $order['rounds_count'] * $order['iterations'];
        $meter = new Meter();
        [$mine, $other] = socket_pair();
        $task = new Process(function () use ($other, $rounds): int {
            for ($round = 0; $round < $rounds; $round++) {
                $sent = receive($other);
                send($other, now() - $sent);
            }
            return 0;
        });
        $wakes = $meter->time(function () use ($mine, $rounds, $order): array {
            $noted = [];
            for ($round = 0; $round < $rounds; $round++) {
                if ($order['idle_ns'] > 0) {
                    nap($order['idle_ns']);
                }
                send($mine, now());
                $noted[] = receive($mine);
            }
            return $noted;
        });
        $task->result();
        return $meter->outcome($rounds, count($wakes), [
            'latency' => histogram($wakes, $meter->perSecond($rounds)), 'metrics' => ['wake_ns' => median($wakes)],
        ]);
    }

    private function hog(array $order): array
    {
        [$hogs, $tick] = [$order['hogs_count'] ?: cpus(), $order['tick_ns']];
        [$mine, $other] = socket_pair();
        $victim = new Process(function () use ($other, $tick): int {
            $delays = [];
            stream_set_blocking($other, false);
            for ($due = now() + $tick, $told = false; fread($other, 8) === '';) {
                nap(max($due - now(), 0));
                for ($woken = now(); $due <= $woken; $due += $tick) {
                    $delays[] = $woken - $due;
                }
                if (!$told && $delays) {
                    send($other, 1);
                    $told = true;
                }
            }
            stream_set_blocking($other, true);
            fwrite($other, pack('q*', count($delays), ...$delays));
            return count($delays);
        });
        fclose($other);
        receive($mine);
        [$meter, $done] = $this->batches($order, $hogs, function () use ($order): int {
            for ($end = now() + $order['hog_ns']; now() < $end;);
            return 1;
        });
        send($mine, 1);
        $count = receive($mine);
        $delays = array_values(unpack('q*', stream_get_contents($mine, 8 * $count)));
        $victim->result();
        return $meter->outcome($order['iterations'], intdiv($done, $hogs), [
            'latency' => ['corrected' => true, 'offered_per_s' => 1e9 / $tick] + histogram($delays, $meter->perSecond($count)),
            'metrics' => [
                'worst_delay_ns' => (float) max($delays),
                'missed_ticks_ratio' => count(array_filter($delays, fn (int $delay): bool => $delay >= $tick)) / $count,
            ],
        ]);
    }

    /** All memory.*: the memory of processes that wait until a socket is closed. */
    private function hold(array $order): array
    {
        $count = $order['tasks_count'];
        $levels = $order['levels_count'] ?? 0;
        $body = match ($order['workload']) {
            'memory.deep' => fn (int $index, callable $wait): int => descend($levels, $wait),
            'memory.shrink' => function (int $index, callable $wait) use ($levels): int {
                $depth = descend($levels, fn () => null);
                $wait();
                return $depth;
            },
            default => function (int $index, callable $wait): int {
                $wait();
                return $index + 1;
            },
        };
        $this->startWaiting(1, $body)(); // Costs that only the first process has are not counted.
        $meter = new Meter();
        read_memory();
        $end = $meter->time(fn (): Closure => $this->startWaiting($count, $body));
        pause($order['wait_ns']);
        read_memory();
        $total = $end();
        return $meter->outcome($count, $total);
    }

    /** Returns when all processes wait. The function that it returns lets them continue and joins them. */
    private function startWaiting(int $count, callable $body): Closure
    {
        [$mine, $other] = socket_pair();
        $tasks = $this->startAll($count, function (int $index) use ($mine, $other, $body): int {
            fclose($mine);
            return $body($index, function () use ($other): void {
                fwrite($other, '.'); // Reports that this process has started.
                fread($other, 1); // Waits until the parent closes its end.
            });
        });
        fclose($other);
        for ($arrived = 0; $arrived < $count;) {
            $arrived += strlen(fread($mine, 8192)) ?: throw new RuntimeException('a process ended before it waited; see stderr');
        }
        return function () use ($mine, $tasks): int {
            fclose($mine);
            return $this->joinAll($tasks);
        };
    }

    /** Processes, started in the set-up, that take chunks from a socket that preserves message boundaries. */
    private function chunks(array $order): array
    {
        $chunk = KERNELS[$order['workload']]($order);
        [$count, $iterations] = [$order['chunks_count'], $order['iterations']];
        $workers = $order['workers_count'] ?: cpus();
        // The work of some workloads grows with the workers.
        $repeats = $iterations * (str_ends_with($order['workload'], '_weak') ? $workers : 1);
        $meter = new Meter();
        [$todo, $jobs] = socket_pair(STREAM_SOCK_DGRAM);
        $tasks = $this->startAll($workers, function () use ($chunk, $jobs): int {
            for ($total = 0; ($index = receive($jobs)) >= 0;) {
                $total += $chunk($index);
            }
            return $total;
        });
        $total = $meter->time(function () use ($todo, $count, $repeats, $workers, $tasks): int {
            for ($i = 0; $i < $repeats; $i++) {
                for ($index = 0; $index < $count; $index++) {
                    send($todo, $index);
                }
            }
            for ($worker = 0; $worker < $workers; $worker++) {
                send($todo, -1);
            }
            return $this->joinAll($tasks);
        });
        return $meter->outcome($iterations, $total);
    }

    private function tcpEcho(array $order): array
    {
        $before = Usage::now();
        $context = stream_context_create(['socket' => ['backlog' => $order['connections_count'], 'tcp_nodelay' => true]]);
        $server = stream_socket_server('tcp://127.0.0.1:0', $code, $message, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN, $context);
        $generator = proc_open([
            getenv('THREADBARE_LOAD'), 'load', '--address', stream_socket_get_name($server, false),
            '--connections', (string) $order['connections_count'], '--payload-bytes', (string) $order['payload_bytes'],
            '--requests', (string) ($order['requests_count'] * $order['iterations']),
            '--offered-per-s', (string) ($order['offered_per_s'] ?? 0), '--load-percent', (string) ($order['load_percent'] ?? 0),
            '--burst', (string) ($order['burst_count'] ?? 1),
        ], [['file', '/dev/null', 'r'], ['pipe', 'w'], STDERR], $pipes);
        // One request of a burst at a time, so each is answered separately.
        $bytes = $order['block_bytes'] ?? $order['payload_bytes'];
        $tasks = [];
        while (count($tasks) < $order['connections_count'] && proc_get_status($generator)['running']) {
            $ready = [$server];
            $none = null;
            if (!stream_select($ready, $none, $none, 0, 200_000)) {
                continue;
            }
            $connection = stream_socket_accept($server);
            $tasks[] = new Process(function () use ($connection, $bytes): int {
                while (($block = fread($connection, $bytes)) !== '' && $block !== false) {
                    fwrite($connection, $block);
                }
                return 0;
            });
            fclose($connection);
        }
        $printed = json_decode(stream_get_contents($pipes[1]), true);
        proc_close($generator);
        $this->joinAll($tasks);
        fclose($server);
        if (!is_array($printed)) {
            throw new RuntimeException('the load generator failed; what it said is on stderr');
        }
        $generated = new Usage($printed['cpu_ns'], $printed['voluntary_switches_count'], $printed['involuntary_switches_count']);
        return [...$printed, ...Usage::now()->minus($before)->minus($generated)->report()];
    }

    private function fileRead(array $order): array
    {
        if ($order['cold'] !== 0) {
            throw new Failure('not_supported', 'PHP has no posix_fadvise, by which the kernel forgets pages');
        }
        return with_files($order['tasks_count'], $order['file_bytes'], function (array $paths) use ($order): array {
            [$meter, $total] = $this->batches($order, count($paths), fn (int $index): int => add_up($paths[$index], $order['block_bytes']));
            return $meter->outcome($order['iterations'] * count($paths), $total);
        });
    }
}

function nap(int $ns): void
{
    time_nanosleep(intdiv($ns, 1_000_000_000), $ns % 1_000_000_000);
}
