// The kernels. Each prepares data that all chunks share and returns the function
// that computes one chunk.

import { fibonacci } from './fib.mjs';
import { hash } from './hash.mjs';
import { json } from './json.mjs';
import { mandelbrot } from './mandelbrot.mjs';
import { matmul } from './matmul.mjs';
import { nqueens } from './nqueens.mjs';
import { primes } from './primes.mjs';
import { sort } from './sort.mjs';

export const KERNELS = {
  'cpu.primes': primes, 'cpu.matmul': matmul, 'cpu.mandelbrot': mandelbrot, 'cpu.nqueens': nqueens, 'cpu.sort': sort,
  'cpu.fib': fibonacci, 'cpu.hash': hash, 'cpu.json': json, 'cpu.json_weak': json,
};

/** How often each chunk occurs: the work of some workloads grows with the workers. */
export const copies = (workload, workers) => (workload.endsWith('_weak') ? workers : 1);
