<?php
// The shapes that only start tasks and join them, written once for processes
// and fibers.

declare(strict_types=1);

trait Shapes
{
    /** Starts a task. Its result() waits for the result of $body. */
    abstract private function start(callable $body): Process|Task;

    private function startAll(int $count, callable $body): array
    {
        $tasks = [];
        for ($index = 0; $index < $count; $index++) {
            $tasks[] = $this->start(fn (): int => $body($index));
        }
        return $tasks;
    }

    private function joinAll(array $tasks): int
    {
        return array_sum(array_map(fn (Process|Task $task): int => $task->result(), $tasks));
    }

    /** $iterations times: starts tasks and joins them, timed. */
    private function batches(array $order, int $count, callable $body): array
    {
        $meter = new Meter();
        $total = $meter->time(function () use ($order, $count, $body): int {
            $handed = 0;
            for ($i = 0; $i < $order['iterations']; $i++) {
                $handed += $this->joinAll($this->startAll($count, $body));
            }
            return $handed;
        });
        return [$meter, $total];
    }

    private function spawnOne(array $order): array
    {
        [$meter, $total] = $this->batches($order, 1, fn (): int => 1);
        return $meter->outcome($order['iterations'], $total);
    }

    private function spawnBatch(array $order): array
    {
        [$meter, $total] = $this->batches($order, $order['tasks_count'], fn (int $index): int => $index + 1);
        return $meter->outcome($order['iterations'] * $order['tasks_count'], $total);
    }

    private function firstInstruction(array $order): array
    {
        [$returns, $firsts, $finishes] = [[], [], []];
        $meter = new Meter();
        $meter->time(function () use ($order, &$returns, &$firsts, &$finishes): void {
            for ($i = 0; $i < $order['iterations']; $i++) {
                $called = now();
                $task = $this->start(now(...));
                $returned = now();
                $ran = $task->result();
                $finished = now();
                $returns[] = $returned - $called;
                $firsts[] = $ran - $called;
                $finishes[] = $finished - $ran;
            }
        });
        return $meter->outcome($order['iterations'], count(array_filter($firsts, fn (int $ns): bool => $ns > 0)), [
            'latency' => histogram($firsts, $meter->perSecond($order['iterations'])),
            'metrics' => [
                'spawn_return_ns' => median($returns), 'first_instruction_ns' => median($firsts), 'finish_ns' => median($finishes),
            ],
        ]);
    }

    private function skynet(array $order): array
    {
        $leaves = $order['leaves_count'];
        if (!preg_match('/^10+$/', (string) $leaves)) {
            throw bad("leaves_count is $leaves; it must be a power of 10, 10 or more");
        }
        $grow = function (int $first, int $size) use (&$grow): int {
            $part = intdiv($size, 10);
            return $size === 1 ? $first : $this->joinAll($this->startAll(10, fn (int $i): int => $grow($first + $i * $part, $part)));
        };
        [$meter, $total] = $this->batches($order, 1, fn (): int => $grow(0, $leaves));
        return $meter->outcome($order['iterations'] * $leaves, $total);
    }

    private function sleepers(array $order): array
    {
        $ns = $order['sleep_ns'];
        [$meter, $total] = $this->batches($order, $order['tasks_count'], function (int $index) use ($ns): int {
            nap($ns);
            return $index + 1;
        });
        $over = $meter->elapsed / $order['iterations'] - $ns;
        return $meter->outcome($order['iterations'] * $order['tasks_count'], $total, ['metrics' => ['over_ns' => $over]]);
    }

    private function fanout(array $order): array
    {
        [$meter, $total] = $this->batches($order, $order['requests_count'], function (int $index) use ($order): int {
            $waiting = $this->startAll($order['waits_count'], function () use ($order): int {
                nap($order['wait_ns']);
                return 1;
            });
            return lehmer($index, $order['steps_count']) % 1000 + $this->joinAll($waiting);
        });
        return $meter->outcome($order['iterations'] * $order['requests_count'], $total);
    }
}
