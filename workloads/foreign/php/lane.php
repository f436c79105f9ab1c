<?php
// Runs the suite's workloads on forked processes or on fibers. Reads requests
// from stdin and answers on stdout, one JSON object a line, as PROTOCOL.md
// says. Needs the command line PHP 8.1 or later, and pcntl for php-fork.

declare(strict_types=1);

foreach (['failure', 'catalogue', 'measure', 'files', 'kernels/all', 'protocol', 'shapes', 'fork', 'fiber'] as $part) {
    require __DIR__ . "/$part.php";
}

$name = getopt('', ['lane:'])['lane'] ?? null;
$lane = match ($name) {
    'php-fork' => new ForkLane(),
    'php-fiber' => new FiberLane(),
    default => null,
};
if ($lane === null) {
    fwrite(STDERR, "usage: php lane.php --lane php-fork|php-fiber\n");
    exit(2);
}
// A warning makes the sample fail, and is never printed on stdout.
ini_set('display_errors', 'stderr');
set_error_handler(function (int $level, string $message): never {
    throw new ErrorException($message, 0, $level);
});
serve($name, $lane);
