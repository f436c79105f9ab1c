<?php

declare(strict_types=1);

final class Failure extends Exception
{
    public function __construct(public readonly string $kind, string $message)
    {
        parent::__construct($message);
    }
}
