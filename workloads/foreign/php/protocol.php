<?php
// The lane's side of the protocol: one request, one answer.

declare(strict_types=1);

const VERSION = 1;
const LONGEST_LINE = 1 << 20;
const MOST_ITERATIONS = 1_000_000_000;
const MOST = (1 << 53) - 1;

/** Answers requests until the request to quit or the end of the input. */
function serve(string $name, object $lane): void
{
    $refusals = [];
    foreach (array_keys(PARAMETERS) as $workload) {
        $refusals[$workload] = $lane->refuses($workload);
    }
    say([
        'type' => 'hello', 'protocol' => VERSION, 'lane' => $name, 'language' => 'php ' . PHP_VERSION,
        'runtime' => 'zend ' . zend_version(), 'pid' => getmypid(), 'cpus_count' => cpus(), 'workloads' => $refusals,
    ]);
    while (($line = fgets(STDIN, LONGEST_LINE + 2)) !== false) {
        $request = null;
        try {
            if (strlen($line) > LONGEST_LINE && !str_ends_with($line, "\n")) {
                do {
                    $rest = fgets(STDIN, LONGEST_LINE);
                } while ($rest !== false && !str_ends_with($rest, "\n"));
                throw bad('the line is longer than ' . LONGEST_LINE . ' bytes');
            }
            $request = parse($line);
            if (($request['type'] ?? null) === 'quit') {
                return;
            }
            $answer = ['type' => 'sample', ...$lane->run(check($request, $refusals))];
        } catch (Failure $failure) {
            $answer = ['type' => 'error', 'kind' => $failure->kind, 'message' => $failure->getMessage()];
        } catch (Throwable $error) {
            $answer = ['type' => 'error', 'kind' => 'failed', 'message' => substr((string) $error, 0, 1000)];
        }
        $id = $request['id'] ?? 0;
        say([...$answer, 'id' => is_int($id) && $id >= 0 && $id <= MOST ? $id : 0]);
    }
}

/** Requests a reading of the memory ledger from the study, in the middle of a sample. */
function read_memory(): void
{
    say(['type' => 'read_memory']);
    $line = fgets(STDIN, LONGEST_LINE);
    if ($line === false || (parse($line)['type'] ?? null) !== 'memory_read') {
        throw bad('the study took no reading of memory');
    }
}

/** Waits for a number of nanoseconds. */
function pause(int $ns): void
{
    time_nanosleep(intdiv($ns, 1_000_000_000), $ns % 1_000_000_000);
}

function say(array $message): void
{
    fwrite(STDOUT, json_encode($message, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
    fflush(STDOUT);
}

function bad(string $message): Failure
{
    return new Failure('bad_request', $message);
}

function parse(string $line): array
{
    $request = json_decode($line, true);
    if (!is_array($request) || array_is_list($request)) {
        throw bad('this is no request of the protocol: ' . (json_last_error() ? json_last_error_msg() : 'no object'));
    }
    return $request;
}

/** The order that a request holds: its parameters, workload and iterations. */
function check(array $request, array $refusals): array
{
    $type = $request['type'] ?? null;
    if ($type !== 'run') {
        throw bad('this is no request of the protocol: the type is ' . json_encode($type) . ', not run or quit');
    }
    [$workload, $given, $iterations] = [$request['workload'] ?? null, $request['parameters'] ?? null, $request['iterations'] ?? null];
    if (!is_string($workload) || !is_array($given)) {
        throw bad('this is no request of the protocol: it needs workload, a text, and parameters, an object');
    }
    if (!isset(PARAMETERS[$workload])) {
        throw bad("unknown workload $workload; this lane knows " . implode(', ', array_keys(PARAMETERS)));
    }
    foreach (array_filter(explode(' ', PARAMETERS[$workload])) as $word) {
        [$name, $least] = str_ends_with($word, '=0') ? [substr($word, 0, -2), 0] : [$word, 1];
        $value = $given[$name] ?? null;
        if (!is_int($value)) {
            throw bad("$workload needs the parameter $name, a whole number");
        }
        if ($value < $least || $value > MOST) {
            throw bad("$name of $workload is $value; it must lie in $least to 2^53 - 1");
        }
    }
    if (!is_int($iterations) || $iterations < 1 || $iterations > MOST_ITERATIONS) {
        throw bad('iterations is ' . json_encode($iterations) . '; it must be 1 to ' . MOST_ITERATIONS);
    }
    if (preg_match('/^(memory|service)\./', $workload) && $iterations !== 1) {
        throw bad("$workload is one experiment: iterations must be 1");
    }
    if ($refusals[$workload] !== null) {
        throw new Failure('not_supported', $refusals[$workload]);
    }
    return [...$given, 'workload' => $workload, 'iterations' => $iterations];
}
