<?php
// The lane php-fiber: a task is a Fiber, all on one thread. PHP has fibers but
// no scheduler for them; this one is what event loops for PHP have at heart.

declare(strict_types=1);

/** A fiber that hands over a value to those that wait for it. */
final class Task
{
    public readonly Fiber $fiber;
    public bool $done = false;
    public mixed $value = null;
    public array $waiting = [];

    public function __construct(callable $body)
    {
        $this->fiber = new Fiber(function () use ($body): void {
            $this->value = $body();
            $this->done = true;
            array_walk($this->waiting, Scheduler::ready(...));
        });
        Scheduler::ready($this->fiber);
    }

    /** Suspends the calling fiber until this one has ended. */
    public function result(): mixed
    {
        while (!$this->done) {
            $this->waiting[] = Fiber::getCurrent();
            Fiber::suspend();
        }
        return $this->value;
    }
}

/** Runs fibers that are ready in their order, and those that sleep when it is time. */
final class Scheduler
{
    private static SplQueue $ready;
    private static SplPriorityQueue $sleeping;

    /** Runs $main as a fiber until it has ended. */
    public static function run(callable $main): mixed
    {
        self::$ready = new SplQueue();
        self::$sleeping = new SplPriorityQueue();
        self::$sleeping->setExtractFlags(SplPriorityQueue::EXTR_BOTH);
        $task = new Task($main);
        try {
            while (!$task->done) {
                self::wakeSleepers();
                $fiber = self::$ready->dequeue();
                $fiber->isStarted() ? $fiber->resume() : self::begin($fiber);
            }
            return $task->value;
        } finally {
            // What a failed sample leaves behind is not held here.
            self::$ready = new SplQueue();
            self::$sleeping = new SplPriorityQueue();
        }
    }

    /** A fiber gets its stack when it starts. */
    private static function begin(Fiber $fiber): void
    {
        try {
            $fiber->start();
        } catch (Throwable $error) {
            throw str_starts_with($error->getMessage(), 'Fiber stack')
                ? new Failure('limit', "{$error->getMessage()}; look at vm.max_map_count: a fiber's stack takes two mappings")
                : $error;
        }
    }

    public static function ready(Fiber $fiber): void
    {
        self::$ready->enqueue($fiber);
    }

    public static function yield(): void
    {
        self::ready(Fiber::getCurrent());
        Fiber::suspend();
    }

    public static function sleep(int $ns): void
    {
        self::$sleeping->insert(Fiber::getCurrent(), -(now() + $ns));
        Fiber::suspend();
    }

    private static function wakeSleepers(): void
    {
        while (!self::$sleeping->isEmpty()) {
            $left = -self::$sleeping->top()['priority'] - now();
            if ($left > 0) {
                if (!self::$ready->isEmpty()) {
                    return;
                }
                nap($left);
            }
            self::ready(self::$sleeping->extract()['data']);
        }
        if (self::$ready->isEmpty()) {
            throw new LogicException('all fibers wait for each other');
        }
    }
}

/** A bounded queue of values between fibers. */
final class Channel
{
    private SplQueue $values;
    private SplQueue $receivers;
    private SplQueue $senders;

    public function __construct(private readonly int $capacity)
    {
        [$this->values, $this->receivers, $this->senders] = [new SplQueue(), new SplQueue(), new SplQueue()];
    }

    public function send(int $value): void
    {
        while ($this->values->count() >= max($this->capacity, 1)) {
            $this->senders->enqueue(Fiber::getCurrent());
            Fiber::suspend();
        }
        $this->values->enqueue($value);
        if (!$this->receivers->isEmpty()) {
            Scheduler::ready($this->receivers->dequeue());
        }
    }

    public function receive(): int
    {
        while ($this->values->isEmpty()) {
            $this->receivers->enqueue(Fiber::getCurrent());
            Fiber::suspend();
        }
        $value = $this->values->dequeue();
        if (!$this->senders->isEmpty()) {
            Scheduler::ready($this->senders->dequeue());
        }
        return $value;
    }
}

/** Fibers that wait at a gate. */
final class Team
{
    private bool $open = false;
    private int $arrived = 0;
    private array $waiting = [];
    private array $tasks = [];

    public function add(callable $body): void
    {
        $this->tasks[] = new Task(function () use ($body): int {
            $this->wait();
            return $body();
        });
    }

    /** A task that itself says when it waits. */
    public function addFree(callable $body): void
    {
        $this->tasks[] = new Task($body);
    }

    public function wait(): void
    {
        $this->arrived++;
        while (!$this->open) {
            $this->waiting[] = Fiber::getCurrent();
            Fiber::suspend();
        }
    }

    public function assemble(): void
    {
        while ($this->arrived < count($this->tasks)) {
            Scheduler::yield();
        }
    }

    public function start(): void
    {
        $this->open = true;
        array_walk($this->waiting, Scheduler::ready(...));
    }

    public function join(): int
    {
        return array_sum(array_map(fn (Task $task): int => $task->result(), $this->tasks));
    }

    /** From opening the gate until all are joined; what they or the main fiber came to. */
    public function timed(Meter $meter, ?callable $main = null): int
    {
        $this->assemble();
        return $meter->time(function () use ($main): int {
            $this->start();
            $total = $main ? $main() : 0;
            $handed = $this->join();
            return $main ? $total : $handed;
        });
    }
}

final class FiberLane
{
    use Shapes;

    private const SHAPES = [
        'spawn.one' => 'spawnOne', 'spawn.batch' => 'spawnBatch', 'spawn.first_instruction' => 'firstInstruction',
        'spawn.skynet' => 'skynet', 'switch.yield' => 'yields', 'switch.pingpong' => 'pingPong',
        'switch.roundtrip' => 'pingPong', 'switch.ring' => 'ring',
        'switch.working_set' => 'workingSet', 'memory.parked' => 'hold', 'memory.deep' => 'hold', 'memory.shrink' => 'hold',
        'memory.million' => 'hold', 'share.pipeline' => 'pipeline', 'share.fan_in' => 'fanIn',
        'share.bounded_buffer' => 'boundedBuffer', 'share.messaging' => 'messaging', 'io.sleepers' => 'sleepers',
        'io.fanout' => 'fanout',
    ];

    private function start(callable $body): Task
    {
        return new Task($body);
    }

    private function sleep(int $ns): void
    {
        Scheduler::sleep($ns);
    }

    public function refuses(string $workload): ?string
    {
        return match (true) {
            isset(self::SHAPES[$workload]) => null,
            str_starts_with($workload, 'cpu.') || $workload === 'switch.placement' => 'all fibers run on one thread',
            $workload === 'switch.futex' => 'all fibers run on one thread, which a futex would block',
            $workload === 'io.email' => 'PHP has no SMTP client of its own: mail() runs sendmail',
            $workload === 'spawn.fork_rss' => 'only for processes; see php-fork',
            str_starts_with($workload, 'share.') => 'PHP has fibers but no channels and locks of its own; this lane has a channel for the plain shapes only',
            default => 'PHP has fibers but no event loop of its own, which this needs',
        };
    }

    public function run(array $order): array
    {
        $shape = self::SHAPES[$order['workload']];
        return Scheduler::run(fn (): array => $this->$shape($order));
    }

    private function yields(array $order): array
    {
        $count = $order['yields_count'] * $order['iterations'];
        [$meter, $team] = [new Meter(), new Team()];
        for ($i = 0; $i < $order['tasks_count']; $i++) {
            $team->add(function () use ($count): int {
                for ($done = 0; $done < $count; $done++) {
                    Scheduler::yield();
                }
                return $done;
            });
        }
        $total = $team->timed($meter);
        return $meter->outcome($order['tasks_count'] * $count, $total);
    }

    private function passOn(Channel $from, Channel $to, int $times): int
    {
        for ($i = 0; $i < $times; $i++) {
            $to->send($from->receive() + 1);
        }
        return 0;
    }

    private function pingPong(array $order): array
    {
        if (($order['workers_count'] ?? 1) > 1) {
            throw new Failure('not_supported', 'all fibers run on one thread; ask for one worker');
        }
        $rounds = $order['rounds_count'] * $order['iterations'];
        $capacity = max($order['capacity_count'] ?? 1, 1);
        [$meter, $team, $there, $back] = [new Meter(), new Team(), new Channel($capacity), new Channel($capacity)];
        $team->add(fn (): int => $this->passOn($there, $back, $rounds));
        $team->assemble();
        $team->start();
        $value = $meter->time(function () use ($there, $back, $rounds): int {
            $token = 0;
            for ($round = 0; $round < $rounds; $round++) {
                $there->send($token);
                $token = $back->receive();
            }
            return $token;
        });
        $team->join();
        return $meter->outcome($rounds, $value);
    }

    private function ring(array $order, int $size = 0, array $further = []): array
    {
        [$tasks, $hops] = [$order['tasks_count'], $order['hops_count'] * $order['iterations']];
        [$meter, $team, $end, $channels] = [new Meter(), new Team(), new Channel(1), []];
        for ($index = 0; $index < $tasks; $index++) {
            $channels[] = new Channel(1);
        }
        foreach ($channels as $index => $from) {
            $to = $channels[($index + 1) % $tasks];
            $turns = intdiv($hops, $tasks) + (int) ($index < $hops % $tasks);
            $array = working_set_array($size);
            $team->add(function () use ($from, $to, $end, $turns, $array, $hops): int {
                $total = 0;
                for ($turn = 0; $turn < $turns; $turn++) {
                    $value = $from->receive() + 1;
                    $total += go_over($array);
                    ($value === $hops ? $end : $to)->send($value);
                }
                return $total;
            });
        }
        $team->assemble();
        $team->start();
        $value = $meter->time(function () use ($channels, $end): int {
            $channels[0]->send(0);
            return $end->receive();
        });
        return $meter->outcome($hops, $value + $team->join(), $further);
    }

    private function workingSet(array $order): array
    {
        [$size, $tasks] = [$order['size_bytes'], $order['tasks_count']];
        if ($size === 0) {
            return $this->ring($order);
        }
        $arrays = [];
        for ($i = 0; $i < $tasks; $i++) {
            $arrays[] = working_set_array($size);
        }
        $start = now();
        for ($time = 0; $time < 4; $time++) {
            array_map(go_over(...), $arrays);
        }
        return $this->ring($order, $size, ['metrics' => ['sum_alone_ns' => (now() - $start) / (4 * $tasks)]]);
    }

    /** All memory.*: what fibers cost that are suspended. */
    private function hold(array $order): array
    {
        $count = $order['tasks_count'];
        $this->startWaiting(1, $order)->join(); // What the first fiber costs is paid once.
        $meter = new Meter();
        read_memory();
        $team = $meter->time(fn (): Team => $this->startWaiting($count, $order, false));
        pause($order['wait_ns']);
        read_memory();
        $team->start();
        $total = $team->join();
        return $meter->outcome($count, $total);
    }

    /** Returns when all wait, or when the gate is open. */
    private function startWaiting(int $count, array $order, bool $open = true): Team
    {
        $team = new Team();
        $levels = $order['levels_count'] ?? 0;
        for ($index = 0; $index < $count; $index++) {
            $team->addFree(match ($order['workload']) {
                'memory.deep' => fn (): int => descend($levels, $team->wait(...)),
                'memory.shrink' => function () use ($levels, $team): int {
                    $depth = descend($levels, fn () => null);
                    $team->wait();
                    return $depth;
                },
                default => function () use ($index, $team): int {
                    $team->wait();
                    return $index + 1;
                },
            });
        }
        $team->assemble();
        if ($open) {
            $team->start();
        }
        return $team;
    }

    private function receiveAll(Channel $from, int $count): int
    {
        for ($total = 0; $count > 0; $count--) {
            $total += $from->receive();
        }
        return $total;
    }

    private function produce(Channel $to, int $items, int $times): int
    {
        for ($time = 0; $time < $times; $time++) {
            for ($item = 1; $item <= $items; $item++) {
                $to->send($item);
            }
        }
        return 0;
    }

    private function pipeline(array $order): array
    {
        ['items_count' => $items, 'stages_count' => $stages, 'capacity_count' => $capacity, 'iterations' => $times] = $order;
        $count = $items * $times;
        [$meter, $team, $first] = [new Meter(), new Team(), new Channel($capacity)];
        $team->add(function () use ($first, $items, $times): int {
            for ($i = 0; $i < $items * $times; $i++) {
                $first->send($i % $items);
            }
            return 0;
        });
        for ($last = $first, $stage = 0; $stage < $stages; $stage++) {
            [$from, $last] = [$last, new Channel($capacity)];
            $team->add(fn (): int => $this->passOn($from, $last, $count));
            // An arrow function takes its variables as they are now.
        }
        $total = $team->timed($meter, fn (): int => $this->receiveAll($last, $count));
        return $meter->outcome($count * ($stages + 1), $total);
    }

    private function fanIn(array $order): array
    {
        ['producers_count' => $producers, 'items_count' => $items, 'iterations' => $times] = $order;
        [$meter, $team, $numbers] = [new Meter(), new Team(), new Channel($order['capacity_count'])];
        for ($i = 0; $i < $producers; $i++) {
            $team->add(fn (): int => $this->produce($numbers, $items, $times));
        }
        $count = $producers * $items * $times;
        $total = $team->timed($meter, fn (): int => $this->receiveAll($numbers, $count));
        return $meter->outcome($count, $total);
    }

    private function boundedBuffer(array $order): array
    {
        ['tasks_count' => $tasks, 'items_count' => $items, 'iterations' => $times] = $order;
        [$meter, $team, $buffer] = [new Meter(), new Team(), new Channel($order['capacity_count'])];
        for ($i = 0; $i < $tasks; $i++) {
            $team->add(fn (): int => $this->produce($buffer, $items, $times));
            $team->add(fn (): int => $this->receiveAll($buffer, $items * $times));
        }
        $total = $team->timed($meter);
        return $meter->outcome($tasks * $items * $times, $total);
    }

    private function messaging(array $order): array
    {
        ['groups_count' => $groups, 'senders_count' => $senders] = $order;
        $loops = $order['loops_count'] * $order['iterations'];
        [$meter, $team] = [new Meter(), new Team()];
        for ($group = 0; $group < $groups; $group++) {
            $receivers = [];
            for ($i = 0; $i < $senders; $i++) {
                $receivers[] = $receiver = new Channel($order['capacity_count']);
                $team->add(fn (): int => $this->receiveAll($receiver, $senders * $loops));
            }
            for ($i = 0; $i < $senders; $i++) {
                $team->add(function () use ($receivers, $loops): int {
                    for ($loop = 0; $loop < $loops; $loop++) {
                        foreach ($receivers as $receiver) {
                            $receiver->send(1);
                        }
                    }
                    return 0;
                });
            }
        }
        $total = $team->timed($meter);
        return $meter->outcome($groups * $senders * $senders * $loops, $total);
    }
}
