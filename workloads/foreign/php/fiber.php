<?php
// The lane php-fiber: a task is a Fiber, and all run on one thread. PHP has no
// scheduler for fibers; this one works like the core of PHP's event loops.

declare(strict_types=1);

/** A fiber that hands over a value to the fibers that wait for it. */
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

/** Runs ready fibers, first come first served. */
final class Scheduler
{
    private static SplQueue $ready;

    /** Runs $main as a fiber until it has ended. */
    public static function run(callable $main): mixed
    {
        self::$ready = new SplQueue();
        $task = new Task($main);
        try {
            while (!$task->done) {
                if (self::$ready->isEmpty()) {
                    throw new LogicException('all fibers wait for each other');
                }
                $fiber = self::$ready->dequeue();
                $fiber->isStarted() ? $fiber->resume() : self::begin($fiber);
            }
            return $task->value;
        } finally {
            // Fibers that a failed sample leaves are not kept here.
            self::$ready = new SplQueue();
        }
    }

    /** Adds a fiber, which gets its stack when it starts. */
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
}

/** Fibers that wait at a gate. */
final class Team
{
    private bool $open = false;
    private int $arrived = 0;
    private array $waiting = [];
    private array $tasks = [];

    /** Adds a task that reports itself when it waits. */
    public function add(callable $body): void
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
}

final class FiberLane
{
    use Shapes;

    private const SHAPES = [
        'spawn.one' => 'spawnOne', 'spawn.batch' => 'spawnBatch', 'spawn.first_instruction' => 'firstInstruction',
        'spawn.skynet' => 'skynet', 'memory.parked' => 'hold', 'memory.deep' => 'hold', 'memory.shrink' => 'hold',
        'memory.million' => 'hold',
    ];

    private function start(callable $body): Task
    {
        return new Task($body);
    }

    public function refuses(string $workload): ?string
    {
        return match (true) {
            isset(self::SHAPES[$workload]) => null,
            str_starts_with($workload, 'cpu.') => 'all fibers run on one thread',
            $workload === 'switch.futex' => 'all fibers run on one thread, which a futex would block',
            $workload === 'io.email' => 'PHP has no SMTP client of its own: mail() runs sendmail',
            $workload === 'spawn.fork_rss' => 'only for processes; see php-fork',
            default => 'PHP has fibers but no event loop, channels and locks of its own: a figure would be of those that this suite has made',
        };
    }

    public function run(array $order): array
    {
        $shape = self::SHAPES[$order['workload']];
        return Scheduler::run(fn (): array => $this->$shape($order));
    }

    /** All memory.*: the memory of suspended fibers. */
    private function hold(array $order): array
    {
        $count = $order['tasks_count'];
        $this->startWaiting(1, $order)->join(); // Costs that only the first fiber has are not counted.
        $meter = new Meter();
        read_memory();
        $team = $meter->time(fn (): Team => $this->startWaiting($count, $order, false));
        pause($order['wait_ns']);
        read_memory();
        $team->start();
        $total = $team->join();
        return $meter->outcome($count, $total);
    }

    /** Returns when all tasks wait, or when the gate is open. */
    private function startWaiting(int $count, array $order, bool $open = true): Team
    {
        $team = new Team();
        $levels = $order['levels_count'] ?? 0;
        for ($index = 0; $index < $count; $index++) {
            $team->add(match ($order['workload']) {
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
}
